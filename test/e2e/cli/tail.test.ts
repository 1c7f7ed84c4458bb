import { principalOf } from '@arqonbus/bus';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';
import { Arqon } from './arqon.ts';

let server: TestServer;
let arqon: Arqon;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  arqon = Arqon.at(server);
});
afterEach(() => arqon.stop());

describe('arqon tail', () => {
  it('prints the welcome frame with --limit 1 --raw, and is done', async () => {
    const { code, stdout, stderr } = await arqon.run(['tail', '--limit', '1', '--raw']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ version: '1.0', type: 'system', payload: { event: 'welcome' } });
    expect(stdout.trimEnd()).not.toContain('\n');
  });

  it('hears what another terminal publishes', async () => {
    const tail = arqon.start(['tail', 'talk:one', '--json', '--type', 'event', '--limit', '2']);
    await joined('talk:one');
    expect(await arqon.run(['pub', 'talk:one', '{"n":1}'])).toEqual({ code: 0, stdout: '', stderr: '' });
    const ack = await arqon.json(['pub', 'talk:one', '{"n":2}', '--ack', '--json']);
    expect(ack).toMatchObject({ sequence: 2, delivered: 1, stored: 'memory', duplicate: false });
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(frames(stdout).map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('prints a readable line without colours in a pipe, and no control character of others', async () => {
    const tail = arqon.start(['tail', 'talk:plain', '--type', 'event', '--limit', '1']);
    await joined('talk:plain');
    await arqon.run(['pub', 'talk:plain', JSON.stringify({ text: '\u001b[31mred\u009b' })]);
    const { stdout } = await tail.ended;
    expect(stdout).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}talk:plain #1 {2}arq_client_\w+ {2}\{"text":"\\u001b\[31mred\\u009b"\}\n$/,
    );
  });

  it('exits 1 with a sentence when the time is over', async () => {
    const { code, stderr } = await arqon.run(['tail', '--timeout-seconds', '0.3', '--limit', '5', '--raw']);
    expect(code).toBe(1);
    expect(stderr).toBe('arqon: the 0.3 s of --timeout-seconds are over; 1 of 5 printed.\n');
  });

  it('goes on after a sequence, with or without its epoch', async () => {
    const acks = await arqon.run(['pub', 'talk:since', '--ack', '--json'], { input: '{"n":1}\n{"n":2}\n{"n":3}\n' });
    const { epoch } = JSON.parse(acks.stdout.split('\n')[0]!) as { epoch: string };
    for (const since of ['1', `1@${epoch}`]) {
      const { stdout } = await arqon.run([
        'tail',
        'talk:since',
        '--since',
        since,
        '--type',
        'event',
        '--limit',
        '2',
        '--raw',
      ]);
      expect(frames(stdout).map(({ payload }) => payload)).toEqual([{ n: 2 }, { n: 3 }]);
    }
  });

  it('tells that envelopes may be missing after a sequence of another epoch', async () => {
    await arqon.run(['pub', 'talk:reset', '{"n":1}', '--ack']);
    const tail = arqon.start(['tail', 'talk:reset', '--since', '1@elsewhere']);
    await tail.complaint(/talk:reset: envelopes may be missing here \(new_epoch\)/);
  });

  it('sends an envelope and prints its answer', async () => {
    const { code, stdout } = await arqon.run([
      ...['tail', '--limit', '2', '--raw', '--send', '{"type":"command","command":"ping","args":{"echo":7}}'],
    ]);
    expect(code).toBe(0);
    expect(frames(stdout)[1]).toMatchObject({ type: 'command_response', payload: { pong: true, echo: 7 } });
  });

  it('prints private messages without a target', async () => {
    const tail = arqon.start(['tail', '--limit', '2', '--raw']);
    const welcome = JSON.parse(await tail.line(/welcome/)) as { payload: { client_id: string } };
    await arqon.run(['send', welcome.payload.client_id, '{"to":"you"}']);
    const { stdout } = await tail.ended;
    expect(frames(stdout)[1]).toMatchObject({ type: 'private', payload: { to: 'you' } });
  });

  it('ends with 0 on Ctrl-C', async () => {
    const tail = arqon.start(['tail', 'talk:interrupt']);
    await joined('talk:interrupt');
    tail.child.kill('SIGINT');
    expect(await tail.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('ends quietly when its reader has gone', async () => {
    const { code, stdout, stderr } = await arqon.shell(
      `arqon tail --raw --send '{"type":"command","command":"ping"}' | head -1; echo "\${PIPESTATUS[0]}"`,
    );
    expect(code).toBe(0);
    expect(stderr).toBe('');
    const [welcome, status] = stdout.trimEnd().split('\n');
    expect(welcome).toContain('"welcome"');
    expect(status).toBe('0');
  });

  it('follows across a restart of the server, without a gap', async () => {
    const port = new URL(server.urls.bus).port;
    const tail = arqon.start(['tail', 'talk:restart', '--type', 'event', '--raw', '--limit', '2']);
    await joined('talk:restart');
    await arqon.run(['pub', 'talk:restart', '{"n":1}']);
    await tail.line(/"n":1/);
    await server.server.reopen({ ...server.config, server: { ...server.config.server, port: Number(port) } });
    await tail.complaint(/Trying again/);
    await joined('talk:restart');
    await arqon.run(['pub', 'talk:restart', '{"n":2}']);
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    expect(frames(stdout).map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('says what to do when no bus answers, or the bus asks for a token', async () => {
    const nobody = await arqon.run(['tail', '--ws-url', 'ws://127.0.0.1:1']);
    expect(nobody).toMatchObject({
      code: 1,
      stderr:
        'arqon: no bus answers at ws://127.0.0.1:1 (ECONNREFUSED); start one with "arqon serve" or pass --ws-url.\n',
    });
    const guarded = await startTestServer(WITH_AUTH);
    try {
      const elsewhere = await arqon.run([
        'tail',
        '--ws-url',
        `${guarded.urls.http.replace('http', 'ws')}/?token=hidden`,
      ]);
      expect(elsewhere.code).toBe(1);
      expect(elsewhere.stderr).toMatch(/is not the WebSocket port of a bus; pass another --ws-url\.\n$/);
      expect(elsewhere.stderr).not.toContain('hidden');
      const asked = await arqon.run(['tail', '--ws-url', guarded.urls.bus]);
      expect(asked.code).toBe(1);
      expect(asked.stderr).toContain('Pass --jwt or set ARQONBUS_TOKEN.');
      const jwt = await token({ sub: 'alice', role: 'user' });
      const args = ['tail', '--limit', '1', '--raw', '--ws-url', guarded.urls.bus];
      const welcome = { payload: { role: 'user' } };
      expect(JSON.parse((await arqon.run([...args, '--jwt', jwt])).stdout)).toMatchObject(welcome);
      expect(JSON.parse((await arqon.run(args, { env: { ARQONBUS_TOKEN: jwt } })).stdout)).toMatchObject(welcome);
      const header = await arqon.run([...args, '--header', `Authorization: Bearer ${jwt}`]);
      expect(JSON.parse(header.stdout)).toMatchObject(welcome);
      const bad = await arqon.run([...args, '--jwt', 'sealed.and.secret']);
      expect(bad.code).toBe(1);
      expect(bad.stderr).not.toContain('sealed');
    } finally {
      await guarded.stop();
    }
  });

  it('refuses what is asked wrongly with 2', async () => {
    for (const args of [['--limit', '0'], ['--since', 'x', 'a:b'], ['--since', '1'], ['--send', '{'], ['--nonsense']]) {
      const { code, stdout, stderr } = await arqon.run(['tail', ...args]);
      expect([args, code, stdout]).toEqual([args, 2, '']);
      expect(stderr).not.toBe('');
    }
  });
});

interface Frame {
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

function frames(stdout: string): Frame[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Frame);
}

/** Resolves when somebody has joined a channel. */
async function joined(at: string): Promise<void> {
  const [room = '', channel = ''] = at.split(':');
  const { bus } = server.server;
  await expect
    .poll(async () => {
      const { items } = await bus.directory.clients(principalOf(), { limit: 500, after: undefined });
      return items.some(({ rooms }) => rooms[room]?.includes(channel) === true);
    })
    .toBe(true);
}
