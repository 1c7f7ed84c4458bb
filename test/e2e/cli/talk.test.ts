import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArqonBusClient, RequestError } from '@arqonbus/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { Arqon } from './arqon.ts';

let server: TestServer;
let arqon: Arqon;
let client: ArqonBusClient;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  arqon = Arqon.at(server);
  client = new ArqonBusClient({ url: server.urls.bus });
  await client.connect();
});
afterEach(async () => {
  await client.close();
  await arqon.stop();
});

describe('arqon pub', () => {
  it('publishes the lines of its standard input in their order', async () => {
    const subscription = await client.subscribe('pub:lines');
    const lines = Array.from({ length: 200 }, (_, n) => `{"n":${n}}`);
    const { code, stdout, stderr } = await arqon.run(['pub', 'pub:lines', '-'], { input: `${lines.join('\n')}\n\n` });
    expect([code, stdout, stderr]).toEqual([0, '', '']);
    for (let n = 0; n < 200; n += 1) expect((await subscription.next()).payload).toEqual({ n });
  });

  it('prints an ack a line', async () => {
    const { code, stdout } = await arqon.run(['pub', 'pub:acks', '--ack', '--json'], { input: '{"n":1}\n{"n":2}' });
    expect(code).toBe(0);
    const acks = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { sequence: number });
    expect(acks.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect((await arqon.run(['pub', 'pub:acks', '{}', '--ack'])).stdout).toBe('#3, delivered to 0, stored: memory\n');
  });

  it('keeps to a rate', async () => {
    const start = performance.now();
    await arqon.run(['pub', 'pub:rate', '--rate', '20'], { input: '{}\n'.repeat(9) });
    expect(performance.now() - start).toBeGreaterThan(8 * 50);
  });

  it('submits telemetry', async () => {
    const subscription = await client.subscribe('integriguard:telemetry-stream');
    const event = { eventType: 'sensor.read', payload: { celsius: 21 } };
    expect((await arqon.run(['pub', 'lab:x', JSON.stringify(event), '--type', 'telemetry'])).code).toBe(0);
    for (;;) {
      const { payload } = await subscription.next();
      if (payload.eventType === 'sensor.read') break;
    }
    expect((await arqon.run(['pub', 'lab:x', '{}', '--type', 'telemetry'])).code).toBe(2);
  });

  it('fails when the bus refuses, with or without acks', async () => {
    await client.casil.reload({ enabled: true, mode: 'enforce', block_on_probable_secret: true });
    try {
      const key = `{"key":"AKIA${'QRSTUVWXYZ234567'}"}`;
      for (const args of [[], ['--ack']]) {
        const { code, stderr, stdout } = await arqon.run(['pub', 'pub:refused', key, ...args]);
        expect([code, stdout]).toEqual([1, '']);
        expect(stderr).toContain('(CASIL_POLICY_BLOCKED_SECRET)');
        expect(stderr).not.toContain('QRSTUVWXYZ');
      }
      const many = await arqon.run(['pub', 'pub:refused'], { input: `${key}\n{}\n${key}\n` });
      expect(many.code).toBe(1);
      expect(many.stderr).toContain('2 of 3 were refused');
    } finally {
      await client.casil.reload({ enabled: false });
    }
  });

  it('refuses what is no JSON object with 2, naming the line', async () => {
    for (const payload of ['hello', '[1]', '"text"', '1']) {
      expect((await arqon.run(['pub', 'pub:bad', payload])).code).toBe(2);
    }
    const { code, stderr } = await arqon.run(['pub', 'pub:bad'], { input: '{}\nnope\n' });
    expect(code).toBe(2);
    expect(stderr).toContain('Line 2 of standard input');
    expect(stderr).not.toContain('shell');
    const acked = await arqon.run(['pub', 'pub:bad', '--ack'], { input: '{}\nnope\n{}\n' });
    expect([acked.code, acked.stdout]).toEqual([2, '#2, delivered to 0, stored: memory\n']);
    expect((await arqon.run(['pub', 'pub:bad:name', '{}'])).code).toBe(2);
  });
});

describe('arqon send and request', () => {
  it('sends privately, and says when nobody is there', async () => {
    const heard = new Promise((resolve) => client.on('private', ({ payload }) => resolve(payload)));
    const ack = await arqon.json(['send', client.id!, '{"text":"psst"}', '--ack', '--json']);
    expect(ack).toMatchObject({ delivered: 1 });
    expect(await heard).toEqual({ text: 'psst' });
    const { code, stderr } = await arqon.run(['send', 'arq_client_nobody', '{}']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arqon: [^\n]* \(TARGET_NOT_FOUND\)\n$/);
  });

  it('asks and prints the reply', async () => {
    client.onRequest((asked) => ({ doubled: Number(asked.n) * 2 }));
    expect(await arqon.json(['request', client.id!, '{"n":21}'])).toEqual({ doubled: 42 });
    const envelope = await arqon.json(['request', client.id!, '-', '--json'], { input: '{"n":4}' });
    expect(envelope).toMatchObject({ type: 'private', from: client.id, payload: { doubled: 8 } });
  });

  it('answers a request that somebody was asked by mail', async () => {
    const id = 'arq_may-this-be-shared';
    const asking = client.request('@editor', { question: 'May this be shared?' }, { id, timeoutMs: 60_000 });
    const args = ['send', client.id!, '{"approved":true}', '--answers', id];
    expect((await arqon.run(args)).code).toBe(0);
    expect((await asking).payload).toEqual({ approved: true });
    const [verb = '', target = '', ...rest] = args;
    const { code, stderr } = await arqon.run([verb, `${target},sub:ada`, ...rest]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('name one target')]);
  });

  it('tells what the other side failed with', async () => {
    client.onRequest(() => {
      throw new RequestError('OUT_OF_PAPER', 'There is no paper left.');
    });
    const { code, stderr } = await arqon.run(['request', client.id!, '{}']);
    expect([code, stderr]).toEqual([1, 'arqon: There is no paper left. (OUT_OF_PAPER)\n']);
  });

  it('gives up in time', async () => {
    const { code, stderr } = await arqon.run(['request', client.id!, '{}', '--timeout-seconds', '0.4']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arqon: .*400 ms/);
  });
});

describe('arqon history', () => {
  beforeAll(async () => {
    const seeding = new ArqonBusClient({ url: server.urls.bus });
    await seeding.connect();
    for (let n = 1; n <= 60; n += 1) await seeding.publish('past:kept', { n }, { ack: true });
    await seeding.close();
  });

  it('prints the last ones, those after a sequence, and goes on', async () => {
    const last = await numbers(['history', 'past:kept']);
    expect(last).toHaveLength(50);
    expect(last.at(-1)).toBe(60);
    expect(await numbers(['history', 'past:kept', '--limit', '2'])).toEqual([59, 60]);
    expect(await numbers(['history', 'past:kept', '--since', '3', '--limit', '2'])).toEqual([4, 5]);
    const follow = arqon.start(['history', 'past:kept', '--limit', '1', '--follow', '--json']);
    await follow.line(/"n":60/);
    await client.publish('past:kept', { n: 'new' }, { ack: true });
    await follow.line(/"n":"new"/);
    follow.child.kill('SIGINT');
    expect((await follow.ended).code).toBe(0);
  });

  it('exports all of it as JSON lines', async () => {
    const { code, stdout, stderr } = await arqon.run(['history', 'past:kept', '--export', 'kept.jsonl']);
    expect([code, stdout]).toEqual([0, '']);
    const { sequence } = await client.channelInfo('past:kept');
    expect(stderr).toBe(`arqon: ${sequence} envelopes of past:kept written to kept.jsonl.\n`);
    const lines = readFileSync(join(arqon.folder, 'kept.jsonl'), 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { metadata: { sequence: number } }).metadata.sequence)).toEqual(
      Array.from({ length: sequence }, (_, index) => index + 1),
    );
    expect((await arqon.run(['history', 'past:kept', '--export', 'no/such/folder'])).code).toBe(2);
  });

  it('wants one channel that exists', async () => {
    expect((await arqon.run(['history', 'past'])).code).toBe(2);
    const unknown = await arqon.run(['history', 'past:never']);
    expect([unknown.code, unknown.stdout]).toEqual([1, '']);
    expect(unknown.stderr).toContain('NOT_FOUND');
    expect((await arqon.run(['history', 'past:kept', '--since', '1@other'])).code).toBe(1);
  });

  async function numbers(args: readonly string[]): Promise<unknown[]> {
    const { stdout } = await arqon.run([...args, '--json']);
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { payload: { n: unknown } }).payload.n);
  }
});

it('ends a stream of standard input politely on Ctrl-C', async () => {
  const subscription = await client.subscribe('pub:endless');
  const pub = arqon.start(['pub', 'pub:endless', '--ack']);
  pub.child.stdin.write('{"n":1}\n');
  await subscription.next();
  pub.child.kill('SIGINT');
  expect((await pub.ended).code).toBe(0);
  if (!pub.child.stdin.closed) await once(pub.child.stdin, 'close');
});
