import { ArqonBusClient } from '@arqonbus/client';
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

const PATIENT = { timeout: 40_000 };

/** What is read of a stream, and how it ends. */
function reading(id: string, channel: string): { text: () => string; done: Promise<string> } {
  let text = '';
  const read = async (): Promise<string> => {
    for await (const piece of client.readStream({ room: 'talk', channel, id })) text += piece;
    return text;
  };
  return { text: () => text, done: read() };
}

describe('arqon stream', () => {
  it('writes its standard input as it comes, and ends with it', async () => {
    const read = reading('story', 'piped');
    const running = arqon.start(['stream', 'talk:piped', '--id', 'story']);
    running.child.stdin.write('Once upon ');
    await expect.poll(read.text, PATIENT).toBe('Once upon ');
    running.write('a time 😀');
    expect(await read.done).toBe('Once upon a time 😀');
    const { code, stdout } = await running.ended;
    expect([code, stdout]).toEqual([0, '#1, 19 characters, delivered to 1, stored: memory\n']);
  });

  it('is cancelled by Ctrl-C, and by a reader', async () => {
    for (const [channel, cancel] of [
      ['ctrl-c', (running: { child: { kill(signal: 'SIGINT'): unknown } }) => running.child.kill('SIGINT')],
      ['asked', () => client.command('stream.cancel', { stream_id: 'asked' })],
    ] as const) {
      const running = arqon.start(['stream', `talk:${channel}`, '--id', channel, '--json']);
      running.child.stdin.write('so far');
      const read = reading(channel, channel);
      await expect.poll(read.text, PATIENT).toBe('so far');
      await cancel(running);
      expect(await read.done).toBe('so far');
      const { stdout, code } = await running.ended;
      expect([code, JSON.parse(stdout)]).toMatchObject([0, { stream_id: channel, sequence: 1, length: 6 }]);
      for await (const { envelope } of client.history(`talk:${channel}`)) {
        expect(envelope.metadata?.stream).toMatchObject({ state: 'cancelled' });
      }
    }
  });

  it('says what is wrong with where it should go', async () => {
    const { code, stderr } = await arqon.run(['stream', 'talk']);
    expect([code, stderr]).toEqual([2, 'arqon: a stream goes to one channel, written ROOM:CHANNEL.\n']);
  });
});

describe('arqon tail of a stream', () => {
  const member = async (channel: string): Promise<void> => {
    await expect
      .poll(async () => (await client.channelInfo(`talk:${channel}`).catch(() => null))?.members?.length, PATIENT)
      .toBe(1);
  };

  it('prints each piece as it came where no terminal reads', async () => {
    const tail = arqon.start(['tail', 'talk:json', '--type', 'event', '--json', '--limit', '2']);
    await member('json');
    const stream = await client.openStream('talk:json');
    await stream.append('one');
    await stream.close();
    const { stdout } = await tail.ended;
    const pieces = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(pieces).toMatchObject([
      { payload: { text: 'one' }, metadata: { stream: { offset: 0, state: 'streaming' } } },
      { payload: { text: '' }, metadata: { stream: { offset: 3, state: 'complete' }, sequence: 1 } },
    ]);
  });

  it('grows a line on a terminal, and leaves the whole', async () => {
    const tail = arqon.onTerminal('arqon tail talk:grown --type event --limit 1');
    await member('grown');
    const stream = await client.openStream('talk:grown');
    await stream.append('Once');
    await expect.poll(() => tail.raw, PATIENT).toMatch(/\{\}.* Once/);
    await stream.append(' upon');
    await stream.close();
    await tail.ended;
    expect(tail.raw).toMatch(/#1.*\{"text":"Once upon"\}/);
  });
});
