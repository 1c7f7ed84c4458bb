import { ArqonBusClient } from '@arqonbus/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';
import { Arqon } from './arqon.ts';

let server: TestServer;
let arqon: Arqon;
let client: ArqonBusClient;

beforeAll(async () => {
  server = await startTestServer();
  client = new ArqonBusClient({ url: server.urls.bus, screenName: 'Ada', clientType: 'human' });
  await client.connect();
  await client.join('lab:results');
});
afterAll(async () => {
  await client.close();
  await server.stop();
});
beforeEach(() => {
  arqon = Arqon.at(server);
});
afterEach(() => arqon.stop());

/** Cells of the rows of a table in a pipe. */
async function rows(args: readonly string[]): Promise<string[][]> {
  const { code, stdout, stderr } = await arqon.run(args);
  expect([code, stderr]).toEqual([0, '']);
  return stdout
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => line.split('\t'));
}

describe('what looks at a bus', () => {
  it('lists rooms, channels and clients, a row a line, its cells parted by tabs', async () => {
    expect(await rows(['rooms'])).toContainEqual(['lab', '1', '1', '']);
    expect(await rows(['channels', 'science'])).toHaveLength(7);
    const [results] = await rows(['channels', 'lab']);
    expect(results?.slice(0, 4)).toEqual(['results', '1', '0', '0']);
    const clients = await rows(['clients']);
    expect(clients.find(([id]) => id === client.id)?.slice(1, 4)).toEqual(['human', 'Ada', 'lab:results']);
  });

  it('prints one JSON document with --json', async () => {
    expect((await arqon.json(['rooms', '--json'])).rooms.map(({ room }: { room: string }) => room)).toContain('lab');
    expect((await arqon.json(['channels', 'lab', '--json'])).channels).toMatchObject([
      { channel: 'results', members: 1 },
    ]);
    const { clients } = await arqon.json(['clients', '--json']);
    expect(clients.map(({ client_id }: { client_id: string }) => client_id)).toContain(client.id);
    expect(await arqon.json(['status', '--json'])).toMatchObject({ storage: { backend: 'memory', healthy: true } });
    const { arqon: own, server: theirs } = await arqon.json(['version', '--json']);
    expect(theirs.version).toBe(own);
    expect(await arqon.json(['command', 'ping', '{"echo":1}', '--json'])).toMatchObject({ echo: 1 });
    const top = await arqon.json(['top', '--json', '--interval-seconds', '0.2']);
    expect(top).toMatchObject({ clients: 1, busiest_channels: [{ channel: 'lab:results', members: 1 }] });
  });

  it('prints figures and a snapshot for people', async () => {
    expect((await arqon.run(['status'])).stdout).toMatch(/^storage +memory, healthy$/m);
    expect((await arqon.run(['version'])).stdout).toMatch(/^protocol +1\.0$/m);
    expect((await arqon.run(['top', '--interval-seconds', '0.2'])).stdout).toMatch(/^ +1 {2}lab:results$/m);
  });

  it('counts in a snapshot what happened meanwhile', async () => {
    let running = true;
    const top = arqon.json(['top', '--json', '--interval-seconds', '0.5']).finally(() => {
      running = false;
    });
    const publisher = new ArqonBusClient({ url: server.urls.bus });
    await publisher.connect();
    while (running) await publisher.publish('lab:results', { n: 1 }, { ack: true });
    await publisher.close();
    const { messages_per_second, deliveries_per_second, latency_ms } = await top;
    expect(messages_per_second).toBeGreaterThan(0);
    expect(deliveries_per_second).toBeGreaterThan(0);
    expect(latency_ms.p50).toBeGreaterThan(0);
  });

  it('says what to do when HTTP does not answer, or asks for credentials', async () => {
    const nobody = await arqon.run(['status', '--http-url', 'http://127.0.0.1:2']);
    expect(nobody).toMatchObject({
      code: 1,
      stdout: '',
      stderr:
        'arqon: no bus answers at http://127.0.0.1:2 (ECONNREFUSED); start one with "arqon serve" or pass --http-url.\n',
    });
    expect((await arqon.run(['status', '--http-url', 'nonsense'])).code).toBe(2);
    expect((await arqon.run(['status', '--http-url', server.urls.bus.replace('ws', 'http')])).code).toBe(1);
    const key = 'a-key-of-tests-that-nobody-guesses';
    const guarded = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: key });
    try {
      const url = ['--http-url', guarded.urls.http];
      const refused = await arqon.run(['status', ...url]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('Pass --api-key or --jwt.');
      expect((await arqon.run(['status', ...url, '--api-key', key])).code).toBe(0);
      expect((await arqon.run(['status', ...url], { env: { ARQONBUS_HTTP_API_KEY: key } })).code).toBe(0);
      const jwt = await token({ sub: 'ops', role: 'admin' });
      expect((await arqon.run(['status', ...url, '--jwt', jwt])).code).toBe(0);
      const wrong = await arqon.run(['status', ...url, '--api-key', 'a-wrong-key']);
      expect([wrong.code, wrong.stderr.includes('a-wrong-key')]).toEqual([1, false]);
      const user = await token({ sub: 'alice', role: 'user' });
      const clients = await arqon.run(['clients', '--ws-url', guarded.urls.bus, '--jwt', user]);
      expect(clients.code).toBe(1);
      expect(clients.stderr).toContain('only admins');
    } finally {
      await guarded.stop();
    }
  });

  it('passes on what the bus refuses, with its code', async () => {
    const { code, stderr } = await arqon.run(['command', 'no_such_command']);
    expect(code).toBe(1);
    expect(stderr).toContain('(COMMAND_NOT_FOUND)');
  });

  it('measures a bus under load', async () => {
    const args = ['bench', '--subscribers', '2', '--publishers', '2', '--seconds', '0.5', '--rate', '100', '--json'];
    const result = await arqon.json(args);
    expect(result).toMatchObject({ subscribers: 2, publishers: 2, missing: 0, refused: 0 });
    expect(result.published).toBeGreaterThan(0);
    expect(result.delivered).toBe(result.published * 2);
    expect(result.latency_ms.p99).toBeGreaterThanOrEqual(result.latency_ms.p50);
    const text = await arqon.run(['bench', '--subscribers', '0', '--seconds', '0.2']);
    expect(text.stdout).toMatch(/^published +\d+/m);
  });
});

describe('on a terminal', () => {
  it('draws tables with a heading, in colour unless NO_COLOR is set', async () => {
    const { stdout } = await arqon.onTerminal('arqon rooms').ended;
    expect(stdout).toContain('\u001b[1mROOM');
    expect(stdout).toMatch(/^lab +1 +1/m);
    const plain = await arqon.onTerminal('NO_COLOR=1 arqon rooms').ended;
    expect(plain.stdout).toMatch(/^ROOM +CHANNELS +MEMBERS/m);
    expect(plain.stdout).not.toContain('\u001b[');
  });

  it('shows a live view with events, until q is pressed', async () => {
    const top = arqon.onTerminal('stty rows 40 cols 200; arqon top --interval-seconds 0.2');
    await top.line(/CHANNELS BY MEMBERS/);
    await arqon.run(['pub', 'seen:in-top', '{}', '--ack']);
    await top.line(/channel_created.*in-top/);
    top.child.stdin.write('q');
    const { code, stdout } = await top.ended;
    expect(code).toBe(0);
    expect(stdout).toContain('\u001b[?1049h');
    expect(stdout.lastIndexOf('\u001b[?1049l')).toBeGreaterThan(stdout.lastIndexOf('CHANNELS BY MEMBERS'));
  });

  it('shows the log of a server as lines for people', async () => {
    const ports = ['--port', '0', '--telemetry-port', 'off', '--http-port', 'off'];
    const serve = arqon.runOnTerminal(['serve', ...ports]);
    expect(await serve.line(/server started/)).toMatch(/\d\d:\d\d:\d\d\.\d{3}.* .*INFO .* server started {2}/);
    await serve.line(/press Ctrl-C to stop/);
    serve.child.stdin.write('\u0003');
    expect((await serve.ended).code).toBe(0);
  });

  it('draws a progress bar, and takes it away again', async () => {
    const pub = arqon.onTerminal('yes "{}" | head -500 | arqon pub seen:progress --rate 1000');
    const { code, stdout } = await pub.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(/\d+ sent {2}[\d,]+\/s/);
    expect(stdout.trimEnd().endsWith('\u001b[2Karqon: 500 sent.')).toBe(true);
  });
});
