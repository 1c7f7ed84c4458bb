import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ArqonBusClient } from './client.ts';
import { failureOf } from './connected.suite.ts';
import { opened, RealBus } from './real-bus.suite.ts';
import { StreamError, type StreamPlace } from './stream-reader.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

const PATIENT = { timeout: 15_000 };

/** Reads to the end, and notes what has come. */
function reading(client: ArqonBusClient, at: string | StreamPlace): { pieces: string[]; done: Promise<string> } {
  const pieces: string[] = [];
  const read = async (): Promise<string> => {
    for await (const piece of client.readStream(at)) pieces.push(piece);
    return pieces.join('');
  };
  return { pieces, done: read() };
}

describe('streams of the real server', () => {
  it('are read while they are written, by their id, from their beginning', async () => {
    const room = bus.freshRoom();
    const [writer, reader] = [await bus.connect(), await bus.connect()];
    const stream = await writer.openStream(`${room}:answers`);
    expect(stream.address).toBe(`${room}:answers`);
    await stream.append('Once upon ');
    const first = reading(reader, stream.id);
    await expect.poll(() => first.pieces, PATIENT).toEqual(['Once upon ']);
    const own = reading(writer, stream.id);
    await expect.poll(() => own.pieces, PATIENT).toEqual(['Once upon ']);
    await Promise.all([stream.append('a '), stream.append('time')]);
    expect(await stream.close()).toMatchObject({ stream_id: stream.id, sequence: 1, length: 16 });
    expect(await Promise.all([first.done, own.done])).toEqual(['Once upon a time', 'Once upon a time']);
    const place = { room, channel: 'answers', id: stream.id };
    expect(await reading(reader, place).done).toBe('Once upon a time');
    expect(await failureOf(reading(reader, stream.id).done)).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('go on after the line broke, at both ends, with nothing lost or twice', async () => {
    const place = { room: bus.freshRoom(), channel: 'answers', id: `story-${Date.now()}` };
    const [writer, reader] = [await bus.connectBreakably(), await bus.connectBreakably()];
    const read = reading(reader, place);
    const stream = await writer.openStream(place, { id: place.id });
    const words = Array.from({ length: 300 }, (_, n) => `${n} `);
    const appends: Promise<void>[] = [];
    for (const [n, word] of words.entries()) {
      appends.push(stream.append(word));
      if (n % 100 !== 50) continue;
      await appends.at(-1);
      const back = Promise.all([opened(writer), opened(reader)]);
      bus.proxy.cut();
      await back;
    }
    await Promise.all(appends);
    await stream.close();
    expect(await read.done).toBe(words.join(''));
  });

  it('carry a character whose halves come one by one, and hold no append up for it', async () => {
    const [writer, reader] = [await bus.connect(), await bus.connect()];
    const stream = await writer.openStream(`${bus.freshRoom()}:answers`);
    const read = reading(reader, stream.id);
    for (const half of ['a\uD83D', '\uDE00', 'b', '\uD83D']) await stream.append(half);
    await stream.close();
    expect(await read.done).toBe('a😀b\uFFFD');
  });

  it('tell their writer that a reader wants no more', async () => {
    const [writer, reader] = [await bus.connect(), await bus.connect({ subject: 'eve' })];
    const stream = await writer.openStream(`${bus.freshRoom()}:answers`);
    const asked = new Promise((resolve) => stream.onCancel(resolve));
    const read = reading(reader, stream.id);
    await reader.command('stream.cancel', { stream_id: stream.id });
    expect(await asked).toMatchObject({ subject: 'eve' });
    await stream.append('enough');
    await stream.close('cancelled');
    expect(await read.done).toBe('enough');
  });

  it('throw how they ended when that was no good end', async () => {
    const [writer, reader] = [await bus.connect(), await bus.connect()];
    const stream = await writer.openStream(`${bus.freshRoom()}:answers`);
    const read = reading(reader, stream.id);
    await stream.append('so far');
    await stream.close('failed');
    const failure = await failureOf(read.done);
    expect(failure).toBeInstanceOf(StreamError);
    expect(failure).toMatchObject({ state: 'failed', code: 'STREAM_ENDED' });
    expect(read.pieces).toEqual(['so far']);
  });

  it('keep the pace that a rule sets, and lose nothing by it', async () => {
    const [writer, reader] = [await bus.connect(), await bus.connect()];
    const room = bus.freshRoom();
    await writer.command('op.rules.set', { rules: [{ match: `${room}:*`, rate_per_second: 5 }] });
    const stream = await writer.openStream(`${room}:answers`);
    const read = reading(reader, stream.id);
    for (let n = 0; n < 8; n += 1) await stream.append(`${n}`);
    await stream.close();
    expect(await read.done).toBe('01234567');
  });

  it('take no more than they can send', async () => {
    const writer = await bus.connect();
    const stream = await writer.openStream(`${bus.freshRoom()}:answers`);
    const taken = stream.append('x');
    expect(await failureOf(stream.append('x'.repeat(4_194_304)))).toMatchObject({ code: 'QUEUE_FULL' });
    await taken;
    expect(await stream.close()).toMatchObject({ length: 1 });
  });

  it('reject what the server refuses, and go on', async () => {
    const writer = await bus.connect();
    const stream = await writer.openStream(`${bus.freshRoom()}:answers`);
    expect(await failureOf(writer.openStream('pm'))).toMatchObject({ code: 'VALIDATION_ERROR' });
    const most = 'x'.repeat(1_048_576);
    await stream.append(most);
    expect(await failureOf(stream.append('one more'))).toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(stream.offset).toBe(most.length);
    expect(await stream.close()).toMatchObject({ length: most.length });
    expect(await failureOf(stream.append('late'))).toMatchObject({ code: 'NOT_FOUND' });
  });
});
