import { isExpired } from '@arqonbus/protocol';
import type { Broker, HistoryQuery, StoredEvent, StreamAddress } from '../engine/engine.ts';

/** Bytes of envelopes per answer; the rest follows on the next page. At least one envelope is always returned. */
export const MAX_ANSWER = 1_048_576;
/** Envelopes in the first read, before their size is known. */
const FIRST_READ = 8;

export interface Page {
  /** Oldest first. */
  readonly found: readonly StoredEvent[];
  /** Whether there is more in the reading direction. */
  readonly more: boolean;
  /** Sequences skipped because their time to live has passed. */
  readonly expired: readonly number[];
}

/**
 * Reads the result of `query` up to {@link MAX_ANSWER}, in steps sized by what was read so far. Events that have
 * expired by `now` (milliseconds since 1970) or are not wanted do not count.
 */
export async function readWithin(
  broker: Broker,
  stream: StreamAddress,
  query: HistoryQuery,
  now: number,
  wants: (event: StoredEvent) => boolean = () => true,
): Promise<Page> {
  const { limit, take = 'first' } = query;
  const forward = take === 'first';
  const found: StoredEvent[] = [];
  const expired: number[] = [];
  const page = (more: boolean): Page => ({ found: forward ? found : found.toReversed(), more, expired });
  let bytes = 0;
  let rest = query;
  let last: StoredEvent | undefined;
  for (;;) {
    const average = found.length === 0 ? MAX_ANSWER / FIRST_READ : Math.max(1, bytes / found.length);
    // Reading one more than fits shows whether there is a next page.
    const step = Math.min(limit - found.length, Math.ceil((MAX_ANSWER - bytes) / average)) + 1;
    const read = await broker.history(stream, { ...rest, limit: step });
    for (const event of forward ? read : read.toReversed()) {
      last = event;
      if (!wants(event)) continue;
      if (isExpired(event.text, now)) {
        expired.push(event.sequence);
        continue;
      }
      const size = Buffer.byteLength(event.text);
      if (found.length > 0 && (found.length === limit || bytes + size > MAX_ANSWER)) return page(true);
      found.push(event);
      bytes += size;
    }
    if (read.length < step || last === undefined) return page(false);
    rest = forward ? { ...query, fromSequence: last.sequence + 1 } : { ...query, toSequence: last.sequence - 1 };
  }
}

/** An event with its stream, among those of others. */
export interface Entry {
  readonly stored: StoredEvent;
  readonly stream: StreamAddress;
}

/** An event's position in the order of all streams. */
export interface Point {
  readonly time: number;
  readonly room: string;
  readonly channel: string;
  readonly sequence: number;
}

export function pointOf({ stored: { time, sequence }, stream: { room, channel } }: Entry): Point {
  return { time, room, channel, sequence };
}

/** By time; within the same millisecond by channel, then by sequence. */
export function compare(one: Point, other: Point): number {
  if (one.time !== other.time) return one.time - other.time;
  if (one.room !== other.room) return one.room < other.room ? -1 : 1;
  if (one.channel !== other.channel) return one.channel < other.channel ? -1 : 1;
  return one.sequence - other.sequence;
}

/** As many entries as one answer may hold; at least one. */
export function fit(entries: readonly Entry[], limit: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex(({ stored }, at) => {
    bytes += Buffer.byteLength(stored.text);
    return at >= limit || (at > 0 && bytes > MAX_ANSWER);
  });
  return end < 0 ? entries : entries.slice(0, end);
}
