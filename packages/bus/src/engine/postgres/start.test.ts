import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../../../test/fixtures/free-port.ts';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { toldHealth } from '../redis/nodes.suite.ts';
import { publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { SCHEMA_VERSION } from './migrate.ts';
import { useNodes } from './nodes.suite.ts';
import { createPostgresEngine } from './postgres.ts';

const LONG = 60_000;
const PASSWORD = 'hunter2-secret';

describe.runIf(hasPostgres())('starting on PostgreSQL', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivatePostgres;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
  }, LONG);
  afterAll(() => server.stop());

  /** The sentence with which an engine does not open. */
  const refusal = async (url: string, listenUrl = ''): Promise<string> => {
    const engine = createPostgresEngine({ url, listenUrl, nodeId: 'node-a' });
    const error = await engine.open(new Recorder()).then(
      () => null,
      (reason: unknown) => reason as Error,
    );
    expect(error).toBeInstanceOf(Error);
    expect(engine.healthy()).toBe(false);
    await engine.close();
    expect(error?.message).not.toContain(PASSWORD);
    return error?.message ?? '';
  };

  it('refuses a URL that it cannot read, in both modes, without repeating it', async () => {
    for (const url of ['nonsense', `http://u:${PASSWORD}@h/db`, 'postgres:///db']) {
      expect(await refusal(url)).toMatch(/^The PostgreSQL URL /);
      expect(await refusal(server.url(), url)).toMatch(/^The PostgreSQL URL to listen at /);
      await expect(open({ url })).rejects.toThrow('The PostgreSQL URL');
    }
  });

  it('says what stands in the way of the server, of its database, of the user', async () => {
    const port = await freePort();
    expect(await refusal(`postgres://u:${PASSWORD}@127.0.0.1:${port}/db`)).toBe(
      `Nothing listens at postgres://127.0.0.1:${port}/db: is PostgreSQL running there?`,
    );
    expect(await refusal('postgres://no-such-host.invalid/db')).toBe(
      'The host of postgres://no-such-host.invalid/db cannot be found.',
    );
    expect(await refusal(server.url('nowhere'))).toBe(
      `postgres://127.0.0.1:${server.port}/nowhere does not exist: create the database that the PostgreSQL URL names.`,
    );
    expect(await refusal(server.url('postgres', 'nobody'))).toBe(
      `postgres://127.0.0.1:${server.port}/postgres refused the user or password of the PostgreSQL URL.`,
    );
    const admin = server.client();
    await admin`CREATE ROLE reader LOGIN`;
    await admin.end();
    expect(await refusal(server.url('postgres', 'reader'))).toMatch(/grant it CREATE and USAGE on the schema\.$/);
    expect(await refusal(`${server.url()}?search_path=nowhere`)).toContain('its user has no schema');
  });

  it('makes its tables once, however many nodes start at the same time', async () => {
    const url = await server.freshSchema();
    const nodes = await Promise.all(range(1, 4).map((n) => open({ url, nodeId: `node-${n}`, mode: 'strict' })));
    for (const { engine } of nodes) await publishMany(engine, lab, 1);
    expect((await nodes[0]?.engine.broker.state(lab))?.sequence).toBe(4);
  });

  it('keeps buses in different schemas of one database apart', async () => {
    const [one, other] = await Promise.all(
      [await server.freshSchema(), await server.freshSchema()].map((url) => open({ url })),
    );
    await other?.engine.broker.attach('default', 'science');
    await publishMany(one!.engine, lab, 3);
    await publishMany(other!.engine, lab, 1);
    expect(other?.seen.events.map((event) => event.sequence)).toEqual([1]);
  });

  it('refuses tables of a newer release for good', async () => {
    const url = await server.freshSchema();
    await open({ url });
    const admin = server.client('postgres', 'bus', url);
    await admin`UPDATE arqon_meta SET value = ${SCHEMA_VERSION + 1} WHERE key = 'version'`;
    await admin.end();
    expect(await refusal(url)).toMatch(/are of version \d+, and this release knows \d+: start the newer release\.$/);
    await expect(open({ url })).rejects.toThrow('start the newer release');
  });

  it('warns of a server that does not sync, whose acks say `memory`', async () => {
    const node = await open({ url: await server.freshSchema(), mode: 'strict' });
    expect(node.engine.warnings).toEqual([expect.stringContaining('fsync off')]);
    expect((await publishMany(node.engine, lab, 1))[0]?.stored).toBe('memory');
  });

  it('works through a pooler that takes no prepared statements', async () => {
    const url = await server.freshSchema();
    const node = await open({ url, listenUrl: url, mode: 'strict' });
    await node.engine.broker.attach('default', 'science');
    const sent = await publishMany(node.engine, lab, 5, (n) => ({
      payload: { text: `"\\{},${n}` },
      identity: 'a"b\\c{},',
    }));
    expect(sent.map((published) => published.sequence)).toEqual(range(1, 5));
    const admin = server.client('postgres', 'bus', url);
    expect(await admin`SELECT DISTINCT identity FROM arqon_messages`).toEqual([{ identity: 'a\\"b\\\\c{},' }]);
    await admin.end();
  });

  it(
    'starts unhealthy in degraded mode, goes on live, and takes the server up when it appears',
    async () => {
      const own = await PrivatePostgres.start();
      try {
        await own.shutDown();
        const node = await open({ url: own.url() });
        expect(node.engine.healthy()).toBe(false);
        expect(node.seen.healthStates).toEqual([
          { healthy: false, reason: expect.stringContaining('Nothing listens at') },
        ]);
        await node.engine.broker.attach('default', 'science');
        expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ stored: 'none', sequence: 0 });
        await own.start();
        await toldHealth(node, true);
        expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ stored: 'memory', sequence: 1 });
        await node.seen.until(() => node.seen.events.at(-1)?.sequence === 1);
      } finally {
        await own.stop();
      }
    },
    LONG,
  );
});
