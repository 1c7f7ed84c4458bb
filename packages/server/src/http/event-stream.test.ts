import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Wire } from '@arqonbus/bus';
import type { JsonObject } from '@arqonbus/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EventReader } from '../../../../test/fixtures/event-stream.ts';
import { ask } from '../../../../test/fixtures/http.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';

let server: TestServer;
const readers: EventReader[] = [];

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_MAX_BACKLOG_BYTES: '1048576' });
});
afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
});
afterAll(() => server.stop());

interface Opened {
  readonly reader: EventReader;
  readonly session: string;
  readonly client: string;
  readonly wire: Wire;
  /** What is written to it from now on. */
  readonly written: Buffer[];
}

/** Opens a stream that joins these places, and reads as far as the answers to its joins. */
async function open(joins: readonly string[], headers: Readonly<Record<string, string>> = {}): Promise<Opened> {
  const query = joins.map((join) => `join=${join}`).join('&');
  const reader = await EventReader.open(`${server.urls.http}/v1/stream?${query}`, headers);
  readers.push(reader);
  const { payload } = await reader.envelope(({ payload: { event } }) => event === 'welcome');
  for (const _join of joins) await reader.envelope(({ type }) => type === 'command_response');
  const client = String(payload.client_id);
  const session = server.server.bus.rooms.tenant('default').sessions.get(client);
  if (session === undefined) throw new Error('no session');
  const { wire } = session;
  const written: Buffer[] = [];
  const write = wire.write.bind(wire);
  vi.spyOn(wire, 'write').mockImplementation((bytes, taken) => {
    if (bytes.length > 0) written.push(bytes);
    write(bytes, taken);
  });
  return { reader, session: String(payload.session), client, wire, written };
}

/** Publishes an event for each number in one turn of the event loop, and waits for its end. */
async function publish(address: string, numbers: readonly number[], more: JsonObject = {}): Promise<void> {
  await Promise.all(numbers.map((n) => server.server.bus.publish(address, { n, ...more })));
  await nextTurn();
}

/** The next events of a reader: their numbers and positions, without epochs and the stream of the whole room. */
async function events(reader: EventReader, count: number): Promise<[number, string | undefined][]> {
  const found: [number, string | undefined][] = [];
  while (found.length < count) {
    const { id, data } = await reader.next();
    const { type, payload } = JSON.parse(data);
    if (type === 'event') found.push([payload.n, id?.replaceAll(/@[^,]*|,\w+:\*=0/g, '')]);
  }
  return found;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_value, index) => index + 1);

describe('the events of one turn', () => {
  it('are the same bytes for all readers with the same positions, written once, and each event has its position', async () => {
    const [one, two] = [await open(['same:a']), await open(['same:a'])];
    // From the first event on, both stand at the same position.
    await publish('same:a', [1]);
    await publish('same:a', [2, 3, 4]);
    for (const { reader } of [one, two]) {
      expect(await events(reader, 4)).toEqual([
        [1, '+same:a=1'],
        [2, '+same:a=2'],
        [3, '+same:a=3'],
        [4, '+same:a=4'],
      ]);
    }
    expect(one.written).toHaveLength(2);
    expect(two.written).toHaveLength(2);
    expect(two.written[1]).toBe(one.written[1]);
  });

  it('have an id line for each reader where positions differ, until they are equal again', async () => {
    const [one, two] = [await open(['own:a', 'own:b']), await open(['own:a', 'own:b'])];
    const body = { type: 'event', room: 'own', channel: 'a', payload: { n: 1 } };
    // Its sender does not receive it, so its position stays behind.
    expect(await ask(`${server.urls.http}/v1/sessions/${one.session}`, { body })).toMatchObject({ status: 202 });
    expect(await events(two.reader, 1)).toEqual([[1, '+own:a=1,+own:b=0']]);
    await publish('own:b', [2, 3]);
    expect(await events(one.reader, 2)).toEqual([
      [2, '+own:a=0,+own:b=1'],
      [3, '+own:a=0,+own:b=2'],
    ]);
    expect(await events(two.reader, 2)).toEqual([
      [2, '+own:a=1,+own:b=1'],
      [3, '+own:a=1,+own:b=2'],
    ]);
    await publish('own:a', [4]);
    await publish('own:b', [5]);
    for (const { reader } of [one, two]) {
      expect(await events(reader, 2)).toEqual([
        [4, '+own:a=2,+own:b=2'],
        [5, '+own:a=2,+own:b=3'],
      ]);
    }
    expect(two.written.at(-2)).toEqual(one.written.at(-2));
    expect(two.written.at(-1)).toBe(one.written.at(-1));
  });

  it('have an id line for each reader where memberships differ', async () => {
    const [one, two, three] = [await open(['mix:a']), await open(['mix:a', 'mix:b']), await open(['mix'])];
    await publish('mix:a', [1, 2]);
    await publish('mix:b', [3]);
    expect(await events(one.reader, 2)).toEqual([
      [1, '+mix:a=1'],
      [2, '+mix:a=2'],
    ]);
    expect(await events(two.reader, 3)).toEqual([
      [1, '+mix:a=1,+mix:b=0'],
      [2, '+mix:a=2,+mix:b=0'],
      [3, '+mix:a=2,+mix:b=1'],
    ]);
    const wide = await events(three.reader, 3);
    expect(wide.map(([n]) => n)).toEqual([1, 2, 3]);
    expect(wide[2]?.[1]).toMatch(/^\+mix:\*=0,/);
    expect(wide[2]?.[1]?.split(',')).toEqual(expect.arrayContaining(['mix:a=2', 'mix:b=1']));
  });

  it('stay apart for a reader that is still in a replay', async () => {
    await publish('back:a', upTo(3));
    const live = await open(['back:a']);
    const first = await open(['back:a']);
    first.reader.close();
    await publish('back:a', [4, 5]);
    await events(live.reader, 2);
    const { reader } = await open(['back:a'], { 'Last-Event-ID': first.reader.lastId });
    await publish('back:a', [6, 7]);
    const rest = upTo(7).map((n) => [n, `+back:a=${n}`]);
    expect(await events(reader, 4)).toEqual(rest.slice(3));
    expect(await events(live.reader, 2)).toEqual(rest.slice(5));
  });

  it('have their position within a long batch too, where it is not with every event', async () => {
    const { reader, written } = await open(upTo(20).map((n) => `long:c${n}`));
    await publish('long:c7', upTo(12), { text: 'x'.repeat(20_000) });
    await events(reader, 12);
    await expect.poll(() => reader.lastId).toContain('+long:c7=12@');
    const told = Buffer.concat(written)
      .toString()
      .match(/(?<=long:c7=)\d+/g);
    expect(told).toEqual(['4', '8', '12']);
  });
});

describe('a reader that takes nothing for a while', () => {
  it('loses no part of an event when it is cut for being slow', async () => {
    const slow = await open(['cut:a']);
    slow.reader.pause(true);
    const text = 'x'.repeat(12_000);
    let last = 0;
    const { sessions } = server.server.bus.rooms.tenant('default');
    while (sessions.has(slow.client)) {
      expect(last).toBeLessThan(5_000);
      const numbers = upTo(20).map((n) => last + n);
      await publish('cut:a', numbers, { text });
      last += numbers.length;
    }
    slow.reader.pause(false);
    const seen: number[] = [];
    for (;;) {
      const { event, data, id } = await slow.reader.next();
      if (event === 'close') {
        expect(JSON.parse(data)).toMatchObject({ code: 4429 });
        break;
      }
      const { type, payload } = JSON.parse(data);
      if (type !== 'event') continue;
      seen.push(payload.n);
      expect(id).toContain(`+cut:a=${payload.n}@`);
    }
    expect(seen).toEqual(upTo(seen.length));
    expect(seen.length).toBeLessThan(last);
  });

  it('is known to have everything once it reads on, however little waits', async () => {
    const late = await open(['late:a']);
    late.reader.pause(true);
    for (let n = 1; late.wire.backlog === 0; n += 1) {
      expect(n).toBeLessThan(5_000);
      await publish('late:a', [n], { text: 'x'.repeat(12_000) });
    }
    const session = server.server.bus.rooms.tenant('default').sessions.get(late.client);
    const emptied = session?.outbox.emptied(30_000);
    late.reader.pause(false);
    expect(await emptied).toBe(true);
  });
});
