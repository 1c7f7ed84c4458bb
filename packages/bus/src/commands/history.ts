import { BusError, parseTimestamp, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { forbidden } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import type { Core } from '../core.ts';
import type { Broker, HistoryQuery, StoredEvent, StreamAddress } from '../engine/engine.ts';
import { hasRole } from '../principal.ts';
import { STORED } from '../schemas/envelopes.ts';
import { COUNT } from '../schemas/fields.ts';
import { Slice } from '../turn.ts';
import { limitUpTo, PLACE, placeOf, TIME } from './arguments.ts';
import { type AnyCommand, command, JsonText } from './command.ts';
import { HISTORY_ENTRY } from './records.ts';

/** Bytes of envelopes in one answer; what is more comes with the next page. One envelope is always given. */
const MAX_ANSWER = 1_048_576;
/** Envelopes read at first, before their size is known. */
const FIRST_READ = 8;
/** Streams of which one time range is read at a time; what they give is cut to the limit in between. */
const KEPT_PAGES = 4;
const SEQUENCE = z.number().int().min(0);
const CURSOR = z.string().min(1).max(1_024).describe('"next" of the answer before.');

const ENTRIES = {
  entries: z.array(HISTORY_ENTRY).describe('Oldest first.'),
  count: COUNT,
  next: z.string().nullable().describe('Pass as "after" for more of the range; null at the end.'),
};

interface Span {
  readonly room?: string;
  readonly channel?: string;
  readonly limit: number;
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly after: Cursor | undefined;
}

/** history, op.history.get, op.history.replay. Every list is oldest first. */
export function historyCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'history',
      role: 'guest',
      description: 'The last envelopes of a channel (or, with a room alone, of its room-wide stream).',
      args: z.strictObject({
        ...PLACE,
        limit: limitUpTo(500),
        before: SEQUENCE.describe('Only sequences below this.').exactOptional(),
        after: SEQUENCE.describe('Only sequences above this.').exactOptional(),
      }),
      result: z.strictObject({
        messages: z.array(STORED).describe('Oldest first.'),
        next: SEQUENCE.nullable().describe('Pass as "after" for newer ones; null at the end.'),
        previous: SEQUENCE.nullable().describe('Pass as "before" for older ones; null at the beginning.'),
      }),
      run: async ({ sender }, args): Promise<JsonText> => {
        const stream = readableStream(bus, sender, placeOf(args));
        const { limit = 50, before, after } = args;
        const page = await readPage(bus.engine.broker, stream, limit, before, after);
        if (page.found.length === 0) await requireStream(bus, stream);
        return historyText(page, before, after);
      },
    }),
    command({
      name: 'op.history.get',
      aliases: ['history.get'],
      role: 'guest',
      description: 'The last stored envelopes of a time range, of a channel, a room, or (admin) the whole tenant.',
      args: z.strictObject({
        ...PLACE,
        limit: limitUpTo(1_000),
        since: TIME.exactOptional(),
        until: TIME.exactOptional(),
        after: CURSOR.exactOptional(),
      }),
      result: z.strictObject(ENTRIES),
      run: async ({ sender }, args): Promise<JsonText> => {
        const { limit = 100, since, until } = args;
        const span = { ...args, limit, from: parse(since), to: parse(until), after: readCursor(args.after) };
        const page = await readSpan(bus, sender, span, 'last');
        return entriesText(bus, page, {});
      },
    }),
    command({
      name: 'op.history.replay',
      aliases: ['history.replay'],
      role: 'guest',
      description: 'Stored envelopes of a time range in their order, refused when their sequence has a hole.',
      args: z.strictObject({
        ...PLACE,
        from_ts: TIME,
        to_ts: TIME,
        strict_sequence: z.boolean().describe('Refuse a sequence with a hole (default true).').exactOptional(),
        limit: limitUpTo(5_000),
        after: CURSOR.exactOptional(),
      }),
      result: z.strictObject({ ...ENTRIES, latency_ms: z.number().min(0) }),
      run: async ({ sender }, args): Promise<JsonText> => {
        const started = performance.now();
        const { limit = 1_000, from_ts, to_ts, strict_sequence: strict = true } = args;
        const span = { ...args, limit, from: parse(from_ts), to: parse(to_ts), after: readCursor(args.after) };
        if (Number(span.from) > Number(span.to)) {
          throw new BusError('VALIDATION_ERROR', '"from_ts" is later than "to_ts".', { field: 'from_ts' });
        }
        const page = await readSpan(bus, sender, span, 'first');
        if (strict) checkGaps(page.entries);
        const latency_ms = Math.round((performance.now() - started) * 1000) / 1000;
        return entriesText(bus, page, { latency_ms });
      },
    }),
  ];
}

function readableStream(
  bus: Core,
  sender: Sender,
  { room, channel }: { room: string; channel: string },
): StreamAddress {
  if (room === WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'Name one room.', { field: 'room', expected: 'name' });
  }
  bus.access.require(sender.principal, 'history', room, channel);
  return { tenant: sender.principal.tenant, room, channel };
}

/** An empty history of a channel that is known neither here nor to the engine is none at all: NOT_FOUND. */
async function requireStream(bus: Core, stream: StreamAddress): Promise<void> {
  const { tenant, room, channel } = stream;
  if (bus.rooms.tenant(tenant).find(room, channel) !== undefined) return;
  if ((await bus.engine.broker.find(stream)) !== null) return;
  throw new BusError('NOT_FOUND', `The channel ${room}:${channel} does not exist.`, { room, channel });
}

// One stream ----------------------------------------------------------------------------------------------------------

interface Page {
  /** Oldest first. */
  readonly found: readonly StoredEvent[];
  /** Whether there is more at the end that it was read from. */
  readonly more: boolean;
}

/** Reads as much as one answer may hold, from the end that was asked for: forward after a sequence, else backward. */
async function readPage(
  broker: Broker,
  stream: StreamAddress,
  limit: number,
  before: number | undefined,
  after: number | undefined,
): Promise<Page> {
  const take = after === undefined ? 'last' : 'first';
  const query: HistoryQuery = {
    take,
    limit,
    ...(before === undefined ? {} : { toSequence: before - 1 }),
    ...(after === undefined ? {} : { fromSequence: after + 1 }),
  };
  return readWithin(broker, stream, query);
}

/** Reads what `query` asks for up to {@link MAX_ANSWER}, in steps that fit the size of what was read so far. */
async function readWithin(
  broker: Broker,
  stream: StreamAddress,
  query: HistoryQuery,
  wants: (event: StoredEvent) => boolean = () => true,
): Promise<Page> {
  const { limit, take = 'first' } = query;
  const forward = take === 'first';
  const found: StoredEvent[] = [];
  let bytes = 0;
  let rest = query;
  let last: StoredEvent | undefined;
  for (;;) {
    const average = found.length === 0 ? MAX_ANSWER / FIRST_READ : Math.max(1, bytes / found.length);
    // One more than there is room for tells whether there is a next page.
    const step = Math.min(limit - found.length, Math.ceil((MAX_ANSWER - bytes) / average)) + 1;
    const read = await broker.history(stream, { ...rest, limit: step });
    for (const event of forward ? read : read.toReversed()) {
      last = event;
      if (!wants(event)) continue;
      const size = Buffer.byteLength(event.text);
      if (found.length > 0 && (found.length === limit || bytes + size > MAX_ANSWER)) {
        return { found: forward ? found : found.toReversed(), more: true };
      }
      found.push(event);
      bytes += size;
    }
    if (read.length < step || last === undefined) return { found: forward ? found : found.toReversed(), more: false };
    rest = forward ? { ...query, fromSequence: last.sequence + 1 } : { ...query, toSequence: last.sequence - 1 };
  }
}

function historyText({ found, more }: Page, before: number | undefined, after: number | undefined): JsonText {
  const first = found[0]?.sequence;
  const last = found[found.length - 1]?.sequence;
  const forward = after !== undefined;
  const hasOlder = forward ? after > 0 : more;
  const hasNewer = forward ? more : before !== undefined;
  const next = hasNewer && last !== undefined ? last : null;
  const previous = hasOlder && first !== undefined && first > 1 ? first : null;
  const messages = found.map(({ text }) => text).join(',');
  return new JsonText(`{"messages":[${messages}],"next":${next},"previous":${previous}}`);
}

// Time ranges ---------------------------------------------------------------------------------------------------------

interface Entry {
  readonly stored: StoredEvent;
  readonly stream: StreamAddress;
}

/** Where a page of a time range ended. */
interface Cursor {
  readonly time: number;
  readonly room: string;
  readonly channel: string;
  readonly sequence: number;
}

interface SpanPage {
  /** Oldest first. */
  readonly entries: readonly Entry[];
  readonly epochs: ReadonlyMap<StreamAddress, string>;
  readonly next: Cursor | null;
}

/** Reads one page of a time range, of all streams together: its oldest (`first`) or newest (`last`) envelopes. */
async function readSpan(bus: Core, sender: Sender, span: Span, take: 'first' | 'last'): Promise<SpanPage> {
  const { broker } = bus.engine;
  const { limit, after } = span;
  const sign = take === 'first' ? 1 : -1;
  // In the order of reading: of `last` the newest come first.
  const inOrder = (one: Entry, other: Entry): number => sign * compare(cursorOf(one), cursorOf(other));
  const from = take === 'first' ? (after?.time ?? span.from) : span.from;
  const to = take === 'last' ? (after?.time ?? span.to) : span.to;
  const query: HistoryQuery = {
    limit,
    take,
    ...(from === undefined ? {} : { fromTime: from }),
    ...(to === undefined ? {} : { toTime: to }),
  };
  const slice = new Slice();
  let kept: Entry[] = [];
  let more = false;
  for (const stream of await streamsOf(bus, sender, span)) {
    if (slice.isOver) await slice.next();
    const wants = (stored: StoredEvent): boolean =>
      after === undefined || sign * compare(cursorOf({ stored, stream }), after) > 0;
    const page = await readWithin(broker, stream, query, wants);
    more ||= page.more;
    for (const stored of page.found) kept.push({ stored, stream });
    if (kept.length <= KEPT_PAGES * limit) continue;
    kept = kept.sort(inOrder).slice(0, limit + 1);
  }
  kept.sort(inOrder);
  const fitting = fit(kept, limit);
  const last = fitting[fitting.length - 1];
  const isWhole = fitting.length === kept.length && !more;
  const epochs = new Map<StreamAddress, string>();
  for (const { stream } of fitting) {
    if (!epochs.has(stream)) epochs.set(stream, (await broker.state(stream)).epoch);
  }
  return {
    entries: take === 'first' ? fitting : fitting.toReversed(),
    epochs,
    next: isWhole || last === undefined ? null : cursorOf(last),
  };
}

/** As many as one answer may hold; always one. */
function fit(entries: readonly Entry[], limit: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex(({ stored }, at) => {
    bytes += Buffer.byteLength(stored.text);
    return at >= limit || (at > 0 && bytes > MAX_ANSWER);
  });
  return end < 0 ? entries : entries.slice(0, end);
}

function cursorOf({ stored: { time, sequence }, stream: { room, channel } }: Entry): Cursor {
  return { time, room, channel, sequence };
}

/** By time; envelopes of one millisecond by channel, and by their sequence in it. */
function compare(one: Cursor, other: Cursor): number {
  if (one.time !== other.time) return one.time - other.time;
  if (one.room !== other.room) return one.room < other.room ? -1 : 1;
  if (one.channel !== other.channel) return one.channel < other.channel ? -1 : 1;
  return one.sequence - other.sequence;
}

function writeCursor({ time, room, channel, sequence }: Cursor): string {
  return Buffer.from(JSON.stringify([time, room, channel, sequence])).toString('base64url');
}

function readCursor(text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined;
  try {
    const [time, room, channel, sequence] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (Number.isFinite(time) && Number.isFinite(sequence) && typeof room === 'string' && typeof channel === 'string') {
      return { time: time as number, room, channel, sequence: sequence as number };
    }
  } catch {
    // Refused below, as what is JSON but no cursor.
  }
  throw new BusError('VALIDATION_ERROR', '"after" must be the "next" of an answer.', { field: 'after' });
}

function entriesText(bus: Core, { entries, epochs, next }: SpanPage, more: { latency_ms?: number }): JsonText {
  const { backend } = bus.engine;
  const texts = entries.map(({ stored, stream }) => {
    const storage_metadata = { backend, sequence: stored.sequence, epoch: epochs.get(stream) };
    const rest = JSON.stringify({ stored_at: new Date(stored.time).toISOString(), storage_metadata });
    return `{"envelope":${stored.text},${rest.slice(1)}`;
  });
  const rest = JSON.stringify({ count: texts.length, next: next === null ? null : writeCursor(next), ...more });
  return new JsonText(`{"entries":[${texts.join(',')}],${rest.slice(1)}`);
}

/** One stream, all of a room that the grants cover, or for an admin all of the tenant. */
async function streamsOf(bus: Core, sender: Sender, span: Span): Promise<StreamAddress[]> {
  const { principal } = sender;
  const { tenant } = principal;
  const covered = (stream: StreamAddress): boolean => bus.access.may(principal, 'history', stream.room, stream.channel);
  if (span.room === undefined && span.channel === undefined) {
    if (!hasRole(principal, 'admin')) {
      throw new BusError('AUTHORIZATION_ERROR', 'History of all rooms needs the role admin; name a room.', {
        field: 'room',
        required_role: 'admin',
      });
    }
    return (await bus.engine.broker.streams(tenant)).filter(covered);
  }
  const { room, channel } = placeOf(span);
  if (channel !== WILDCARD || span.room?.includes(':') === true || span.channel !== undefined) {
    return [readableStream(bus, sender, { room, channel })];
  }
  const streams = (await bus.engine.broker.streams(tenant, room)).filter(covered);
  if (streams.length === 0 && !bus.access.may(principal, 'history', room, WILDCARD)) throw forbidden(room, WILDCARD);
  return streams;
}

function checkGaps(entries: readonly Entry[]): void {
  const last = new Map<StreamAddress, number>();
  for (const { stored, stream } of entries) {
    const before = last.get(stream);
    if (before !== undefined && stored.sequence !== before + 1) {
      throw new BusError('SEQUENCE_GAP', 'The history asked for has a hole; ask with "strict_sequence": false.', {
        room: stream.room,
        channel: stream.channel,
        after_sequence: before,
        next_sequence: stored.sequence,
      });
    }
    last.set(stream, stored.sequence);
  }
}

function parse(time: string | undefined): number | undefined {
  return time === undefined ? undefined : parseTimestamp(time);
}
