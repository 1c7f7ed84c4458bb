import { decodeEntry, type Entry } from './entry.ts';
import type { Keys } from './keys.ts';
import type { Position, Room } from './room.ts';
import type { Session } from './session.ts';

const PAGE = 500;
const AT_ONCE = 200;

/** Does `work` for every item, no more than a few hundred at a time: a reconnect must not flood the server. */
export async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(work))));
  }
  return results;
}

/** Where the streams of a room stand. */
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

/** What a stream still keeps from `from` to `to` (sequences, inclusive), in order. */
export async function entriesBetween(
  session: Session,
  keys: Keys,
  room: Room,
  channel: string,
  epoch: string,
  from: number,
  to: number,
): Promise<Entry[]> {
  const entries: Entry[] = [];
  const key = keys.stream(room.stream(channel));
  for (let next = from; next <= to; ) {
    const page = (await session.command('xrange', key, next, to, 'COUNT', PAGE)) as [string, [string, string]][];
    for (const [place, [, body]] of page) entries.push(decodeEntry(channel, epoch, place, body));
    if (page.length < PAGE) break;
    next = (entries.at(-1)?.sequence ?? to) + 1;
  }
  return entries;
}

/** The fields of a hash, in either of the shapes that the driver gives them. */
export function fields(reply: unknown): [string, string][] {
  if (!Array.isArray(reply)) return Object.entries((reply ?? {}) as Record<string, string>);
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) pairs.push([String(reply[at]), String(reply[at + 1])]);
  return pairs;
}
