import { randomToken } from '@arqonbus/protocol';
import type { HistoryQuery, Retention, StoredEvent, StreamAddress, StreamState, StreamUsage } from '../engine.ts';
import { decodeEntry, type Entry, storedEvent } from './entry.ts';
import type { Keys } from './keys.ts';
import type { Position } from './room.ts';
import { COUNT, DROP, LONGEST_MS, limitsOf, READ, REST, RETAIN, STATE, USAGE } from './scripts.ts';
import { fields, inTurns, lossyRun, type Session } from './session.ts';

/** Entries per read when filtering by time, since the stream is indexed by sequence only; keeps answers short. */
const PAGE = 500;
/** The forget time of a stream that keeps its last event, as in `streams.lua`. */
const FOREVER = 1e15;

/** Reads, retention and removal of streams. Every call is given its session. */
export class History {
  private readonly keys: Keys;

  constructor(keys: Keys) {
    this.keys = keys;
  }

  async state(session: Session, stream: StreamAddress): Promise<StreamState> {
    const answer = await session.run(STATE, this.keysOf(stream), [
      stream.channel,
      randomToken(16),
      lossyRun(session),
      1,
    ]);
    const [sequence = '0', epoch = '', oldest = '1'] = answer as string[];
    // Only rooms in the index are scanned for idle streams.
    if (sequence === '0') await this.index(session, stream);
    return { sequence: Number(sequence), epoch, oldest: Number(oldest) };
  }

  async find(session: Session, stream: StreamAddress): Promise<StreamState | null> {
    const [sequence, epoch, oldest] = (await session.run(STATE, this.keysOf(stream), [
      stream.channel,
      randomToken(16),
      lossyRun(session),
      0,
    ])) as string[];
    if (epoch === undefined) return null;
    return { sequence: Number(sequence), epoch, oldest: Number(oldest) };
  }

  async read(session: Session, stream: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    const { fromTime = 0, toTime = Number.POSITIVE_INFINITY, limit, take = 'first' } = query;
    const timed = query.fromTime !== undefined || query.toTime !== undefined;
    let from = Math.max(1, query.fromSequence ?? 1);
    let to = query.toSequence ?? Number.MAX_SAFE_INTEGER;
    const events: StoredEvent[] = [];
    while (events.length < limit && from <= to) {
      const count = timed ? PAGE : limit - events.length;
      const page = await this.page(session, stream, from, to, count, take);
      for (const event of page) {
        if (events.length < limit && event.time >= fromTime && event.time <= toTime) events.push(event);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < count) break;
      if (take === 'first') from = last.sequence + 1;
      else to = last.sequence - 1;
    }
    return take === 'first' ? events : events.reverse();
  }

  async tenants(session: Session): Promise<string[]> {
    const tenants = (await session.command('smembers', this.keys.tenants)) as string[];
    const rooms = await inTurns(tenants, (tenant) => session.command('scard', this.keys.rooms(tenant)));
    return tenants.filter((_, index) => rooms[index] !== 0);
  }

  async retentionOf(session: Session, { tenant, room, channel }: StreamAddress): Promise<Retention | null> {
    const text = await session.command('hget', this.keys.room(tenant, room), channel);
    return typeof text === 'string' ? retentionIn(text) : null;
  }

  /** One query per room: its streams are on one server. */
  async usage(session: Session, streams: readonly StreamAddress[]): Promise<StreamUsage[]> {
    const rooms = new Map<string, number[]>();
    for (const [index, { tenant, room }] of streams.entries()) {
      const key = this.keys.room(tenant, room);
      const indexes = rooms.get(key);
      if (indexes === undefined) rooms.set(key, [index]);
      else indexes.push(index);
    }
    const usages: StreamUsage[] = [];
    await inTurns([...rooms], async ([room, indexes]) => {
      const some = indexes.map((index) => streams[index] as StreamAddress);
      const keys = [room, ...some.map((stream) => this.keys.stream(stream))];
      const channels = some.map(({ channel }) => channel);
      for (const [at, answer] of ((await session.run(USAGE, keys, channels)) as number[][]).entries()) {
        const [sequence = 0, events = 0, bytes = 0] = answer;
        usages[indexes[at] as number] = { sequence, events, bytes };
      }
    });
    return usages;
  }

  async streams(session: Session, tenant: string, room?: string): Promise<StreamAddress[]> {
    const rooms = room === undefined ? await this.rooms(session, tenant) : [room];
    const found = await inTurns(rooms, async (name) => {
      const standings = await positions(session, this.keys, tenant, name);
      return [...standings]
        .filter(([, { sequence }]) => sequence > 0)
        .map(([channel]) => ({ tenant, room: name, channel }));
    });
    return found.flat();
  }

  async retain(session: Session, stream: StreamAddress, retention: Retention): Promise<void> {
    const args = [stream.channel, randomToken(16), lossyRun(session), ...limitsOf(retention)];
    await session.run(RETAIN, this.keysOf(stream), args);
  }

  async drop(session: Session, stream: StreamAddress): Promise<void> {
    const left = await session.run(DROP, this.keysOf(stream), [stream.channel]);
    if (left === 0) await this.removeFromIndex(session, stream);
  }

  /**
   * Forgets a room's idle streams, checking about `count` of them from `cursor` on (`0`: from the beginning); returns
   * the next cursor.
   */
  async endRests(
    session: Session,
    at: { readonly tenant: string; readonly room: string },
    cursor: string,
    count: number,
  ): Promise<string> {
    const prefix = this.keys.stream({ ...at, channel: '' });
    const answer = await session.run(REST, [this.keys.room(at.tenant, at.room)], [prefix, cursor, count]);
    const [next, left] = answer as [string, number];
    if (left === 0) await this.removeFromIndex(session, at);
    return next;
  }

  /** Every room that has streams. */
  async allRooms(session: Session): Promise<{ tenant: string; room: string }[]> {
    const tenants = (await session.command('smembers', this.keys.tenants)) as string[];
    const found = await inTurns(tenants, async (tenant) =>
      (await this.rooms(session, tenant)).map((room) => ({ tenant, room })),
    );
    return found.flat();
  }

  /** Adds a room to its tenant's index. */
  async index(session: Session, { tenant, room }: { readonly tenant: string; readonly room: string }): Promise<void> {
    await Promise.all([
      session.command('sadd', this.keys.tenants, tenant),
      session.command('sadd', this.keys.rooms(tenant), room),
    ]);
  }

  private async removeFromIndex(
    session: Session,
    { tenant, room }: { readonly tenant: string; readonly room: string },
  ): Promise<void> {
    await session.command('srem', this.keys.rooms(tenant), room);
    // Another node may have published there in the meantime, and added the room before it was removed.
    const again = await session.command('hlen', this.keys.room(tenant, room));
    if (again !== 0) await session.command('sadd', this.keys.rooms(tenant), room);
  }

  /** Totals over all tenants' streams; `bytes` is the memory that the server uses for them. */
  async totals(session: Session): Promise<{ streams: number; messages: number; bytes: number }> {
    const totals = { streams: 0, messages: 0, bytes: 0 };
    await inTurns(await this.allRooms(session), async ({ tenant, room }) => {
      const prefix = this.keys.stream({ tenant, room, channel: '' });
      const answer = await session.run(COUNT, [this.keys.room(tenant, room)], [prefix]);
      const [streams = 0, messages = 0, bytes = 0] = answer as number[];
      totals.streams += streams;
      totals.messages += messages;
      totals.bytes += bytes;
    });
    return totals;
  }

  private async page(
    session: Session,
    stream: StreamAddress,
    from: number,
    to: number,
    count: number,
    take: 'first' | 'last',
  ): Promise<StoredEvent[]> {
    const args = [stream.channel, from, to, count, take];
    const [epoch, flat] = (await session.run(READ, this.keysOf(stream), args)) as [string, string[]];
    const events: StoredEvent[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2) {
      events.push(storedEvent(decodeEntry(stream.channel, epoch, flat[at] ?? '', flat[at + 1] ?? '')));
    }
    return events;
  }

  private async rooms(session: Session, tenant: string): Promise<string[]> {
    return (await session.command('smembers', this.keys.rooms(tenant))) as string[];
  }

  private keysOf(stream: StreamAddress): string[] {
    return [this.keys.stream(stream), this.keys.room(stream.tenant, stream.room)];
  }
}

/** The limits in a stream's entry of the room hash; see `streams.lua`. */
function retentionIn(text: string): Retention {
  const [, , size, ttl, , , , until] = text.split(' ').map(Number);
  const ttlMs = ttl === LONGEST_MS ? Number.POSITIVE_INFINITY : (ttl ?? 0);
  return { size: size ?? 0, ttlMs, ...((until ?? 0) >= FOREVER ? { keepLast: true } : {}) };
}

/** The state of the streams of a room. */
export async function positions(
  session: Session,
  keys: Keys,
  tenant: string,
  room: string,
): Promise<Map<string, Position>> {
  const standings = new Map<string, Position>();
  for (const [channel, text] of fields(await session.command('hgetall', keys.room(tenant, room)))) {
    const [sequence = '0', epoch = ''] = text.split(' ', 2);
    standings.set(channel, { sequence: Number(sequence), epoch });
  }
  return standings;
}

/** The first `count` entries still kept between two sequences, inclusive, in order. */
export async function entriesFrom(
  session: Session,
  keys: Keys,
  stream: StreamAddress,
  epoch: string,
  [from, to]: readonly [number, number],
  count: number,
): Promise<Entry[]> {
  const page = await session.command('xrange', keys.stream(stream), from, to, 'COUNT', count);
  return (page as [string, [string, string]][]).map(([place, [, body]]) =>
    decodeEntry(stream.channel, epoch, place, body),
  );
}
