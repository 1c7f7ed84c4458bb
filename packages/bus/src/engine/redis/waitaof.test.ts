import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PrivateRedis, serverThatSyncs } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';

const program = serverThatSyncs();
/** Longer than a sync takes, however busy the machine is. */
const LONG = 60_000;
/** For what never comes. */
const SHORT = 300;

describe.runIf(program !== null)(`syncs that are waited for (${program ?? 'no server'})`, () => {
  const open = useNodes();
  const lab = stream('general');
  let master: PrivateRedis;
  let replica: PrivateRedis;

  const started: PrivateRedis[] = [];
  const start = async (options: { readonly sync?: 'no' | 'everysec' | 'always'; readonly settings?: string[] }) => {
    const server = await PrivateRedis.start({ ...options, ...(program === null ? {} : { program }) });
    started.push(server);
    return server;
  };

  beforeAll(async () => {
    master = await start({ sync: 'everysec', settings: ['--repl-diskless-sync-delay', '0'] });
    replica = await start({ sync: 'no', settings: ['--replicaof', '127.0.0.1', `${master.port}`] });
  });
  afterAll(() => Promise.all(started.map((server) => server.stop())));

  const configure = async (server: PrivateRedis, name: string, value: string): Promise<void> => {
    const admin = server.client();
    await admin.config('SET', name, value);
    admin.disconnect();
  };

  const ackOf = async (node: Awaited<ReturnType<typeof open>>): Promise<string | undefined> =>
    (await publishMany(node.engine, lab, 1))[0]?.stored;

  const refusal = async (server: PrivateRedis): Promise<string> => {
    try {
      await open({ url: server.url(), mode: 'strict', replication: { replicas: 0, waitMs: LONG, fsync: true } });
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('acks as on disk what a server that syncs once a second has synced, and delivers it before', async () => {
    const plain = await open({ url: master.url() });
    expect(await ackOf(plain)).toBe('memory');
    const node = await open({ url: master.url(), replication: { replicas: 0, waitMs: LONG, fsync: true } });
    expect(node.engine.warnings).toEqual([]);
    await node.engine.broker.attach('default', 'science');
    const acks: string[] = [];
    const publish = (): Promise<void>[] =>
      range(1, 300).map(async () => {
        acks.push((await node.engine.broker.publish(publication(lab))).stored);
      });
    // The events of a second batch do not wait for the sync of the first.
    await configure(master, 'appendfsync', 'no');
    const first = publish();
    await node.seen.until(() => node.seen.events.length === 300);
    const second = publish();
    await node.seen.until(() => node.seen.events.length === 600);
    expect(acks).toEqual([]);
    await configure(master, 'appendfsync', 'everysec');
    await Promise.all([...first, ...second]);
    expect(new Set(acks)).toEqual(new Set(['disk']));
    expect(acks).toHaveLength(600);
  });

  it('lets one sender go on to another server meanwhile', async () => {
    const shards = await Promise.all([start({ sync: 'everysec' }), start({ sync: 'everysec' })]);
    const url = shards.map((shard) => shard.url()).join(',');
    const node = await open({ url, replication: { replicas: 0, waitMs: LONG, fsync: true } });
    await node.engine.broker.attach('default', '*');
    for (const shard of shards) await configure(shard, 'appendfsync', 'no');
    const acks: string[] = [];
    const publishing = range(1, 20).map(async (number) => {
      const room = stream('general', `room-${number}`);
      acks.push((await node.engine.broker.publish(publication(room, { identity: 'ada' }))).stored);
    });
    await node.seen.until(() => node.seen.events.length === 20);
    expect(node.seen.events.map(({ stream: { room } }) => room)).toEqual(
      range(1, 20).map((number) => `room-${number}`),
    );
    expect(acks).toEqual([]);
    for (const shard of shards) await configure(shard, 'appendfsync', 'everysec');
    await Promise.all(publishing);
    expect(new Set(acks)).toEqual(new Set(['disk']));
  });

  it('says what the server alone promises when no sync comes in time, until one does', async () => {
    const node = await open({ url: master.url(), replication: { replicas: 0, waitMs: SHORT, fsync: true } });
    expect(node.engine.warnings).toEqual([
      'appendfsync is "everysec": set ARQONBUS_REDIS_WAIT_MS to 2500 or more, or its syncs come too late.',
    ]);
    await configure(master, 'appendfsync', 'no');
    expect(await ackOf(node)).toBe('memory');
    await configure(master, 'appendfsync', 'always');
    await expect.poll(() => ackOf(node)).toBe('disk');
    await configure(master, 'appendfsync', 'everysec');
  });

  it('counts no replica that has the events in memory only, and says disk as long as none has synced', async () => {
    const admin = replica.client();
    await expect.poll(() => admin.info('replication')).toContain('master_link_status:up');
    admin.disconnect();
    const memory = await open({ url: master.url(), replication: { replicas: 1, waitMs: LONG } });
    expect(await ackOf(memory)).toBe('replicated');
    const node = await open({ url: master.url(), replication: { replicas: 1, waitMs: SHORT, fsync: true } });
    await configure(master, 'appendfsync', 'always');
    await expect.poll(() => ackOf(node)).toBe('disk');
    await configure(replica, 'appendfsync', 'always');
    await configure(replica, 'appendonly', 'yes');
    await expect.poll(() => ackOf(node)).toBe('replicated');
    await configure(replica, 'appendonly', 'no');
    await expect.poll(() => ackOf(node)).toBe('disk');
    await configure(master, 'appendfsync', 'everysec');
  });

  it('refuses a server that cannot tell of its syncs, and says what to change', async () => {
    expect(await refusal(await start({ sync: 'no' }))).toContain(
      'ARQONBUS_REDIS_WAIT_FSYNC is set, and appendonly is "no": set it to "yes"',
    );
    expect(await refusal(await start({ sync: 'always', settings: ['--appendfsync', 'no'] }))).toContain(
      'ARQONBUS_REDIS_WAIT_FSYNC is set, and appendfsync is "no": set it to "everysec" or "always"',
    );
    const unaware = await start({ sync: 'always', settings: ['--rename-command', 'WAITAOF', ''] });
    expect(await refusal(unaware)).toMatch(
      /WAIT_FSYNC is set, and (redis|valkey) \d+\.\d+\.\d+ does not know WAITAOF: it takes Redis 7\.2 or newer, or Valkey$/,
    );
  });
});
