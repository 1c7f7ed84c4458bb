import { BusError, MAIL_ROOM, parseTimestamp, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { forbidden } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import type { Core } from '../core.ts';
import type { HistoryQuery, StoredEvent, StreamAddress } from '../engine/engine.ts';
import type { Messages } from '../history/messages.ts';
import { compare, type Entry, fit, type Point, pointOf, readWithin } from '../history/page.ts';
import { hasRole } from '../principal.ts';
import { STORED } from '../schemas/envelopes.ts';
import { COUNT, POSITION, SEQUENCE } from '../schemas/fields.ts';
import { Slice } from '../turn.ts';
import { limitUpTo, PLACE, POSITIONS, placeOf, READ_PLACE, roomOf, streamMap, TIME } from './arguments.ts';
import { type AnyCommand, command, JsonText } from './command.ts';
import { HISTORY_ENTRY } from './records.ts';

/** Read results are cut to the limit when they exceed this many pages. */
const KEPT_PAGES = 4;
/** Longest wait for the first message, in milliseconds: below the one-minute idle timeout of common proxies. */
const MAX_WAIT_MS = 55_000;
const BOUND = z.union([SEQUENCE, streamMap(SEQUENCE)]);
const SINCE = z.union([POSITION, z.strictObject({ time: TIME }), POSITIONS]);
const CURSOR = z.string().min(1).max(1_024).describe('The "next" of the previous answer.');

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
  readonly after: Point | undefined;
}

/** history, op.history.get, op.history.replay. All lists are oldest first. */
export function historyCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'history',
      role: 'guest',
      place: 'current',
      waits: true,
      description:
        'Returns messages of a channel, or with a room alone of all its channels, merged by time. Can wait for the first.',
      args: z.strictObject({
        ...READ_PLACE,
        limit: limitUpTo(500),
        before: BOUND.describe('Only sequences below this: the last ones.').exactOptional(),
        after: BOUND.describe('Only sequences above this: the first ones.').exactOptional(),
        since: SINCE.describe(
          'What came after a position, or after the positions of a room, or from a time on.',
        ).exactOptional(),
        wait_ms: z
          .number()
          .int()
          .min(0)
          .max(MAX_WAIT_MS)
          .describe('How long to wait for the first message when there is none.')
          .exactOptional(),
      }),
      result: z.strictObject({
        messages: z.array(STORED).describe('Oldest first.'),
        position: z
          .union([POSITION, z.record(z.string(), POSITION)])
          .describe('Pass as "since" to continue; for a room, a position by channel.'),
        recovered: z
          .boolean()
          .describe('Only with "since": false if some missed messages are no longer stored.')
          .exactOptional(),
        next: BOUND.nullable().describe('Pass as "after" for newer ones; null at the end.'),
        previous: BOUND.nullable().describe('Pass as "before" for older ones; null at the beginning.'),
      }),
      run: async ({ sender, signal, releaseTurn }, args): Promise<JsonText> => {
        const { room, channel } = roomOf(args);
        const { limit = 50, before, after, since, wait_ms: waitMs } = args;
        const request = { room, channel, limit, before, after, since, waitMs, signal };
        return messagesText(await bus.messages.read(sender, request, releaseTurn));
      },
    }),
    command({
      name: 'op.history.get',
      aliases: ['history.get'],
      role: 'guest',
      description:
        'Returns the last stored envelopes of a time range, of a channel, a room, or (admin) the whole tenant.',
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
      description: 'Returns the stored envelopes of a time range in order. Refused if their sequence has a hole.',
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
        if (strict) checkGaps(page);
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

// Time ranges ---------------------------------------------------------------------------------------------------------

interface SpanPage {
  /** Oldest first. */
  readonly entries: readonly Entry[];
  readonly epochs: ReadonlyMap<StreamAddress, string>;
  readonly next: Point | null;
  /** By stream: sequences that are missing because their time to live has expired. */
  readonly expired: ReadonlyMap<StreamAddress, readonly number[]>;
}

/** Reads one page of a time range, over all streams: its oldest (`first`) or newest (`last`) envelopes. */
async function readSpan(bus: Core, sender: Sender, span: Span, take: 'first' | 'last'): Promise<SpanPage> {
  const { broker } = bus.engine;
  const { limit, after } = span;
  const sign = take === 'first' ? 1 : -1;
  // Reading order: for `last` the newest come first.
  const inOrder = (one: Entry, other: Entry): number => sign * compare(pointOf(one), pointOf(other));
  const from = take === 'first' ? (after?.time ?? span.from) : span.from;
  const to = take === 'last' ? (after?.time ?? span.to) : span.to;
  const query: HistoryQuery = {
    limit,
    take,
    ...(from === undefined ? {} : { fromTime: from }),
    ...(to === undefined ? {} : { toTime: to }),
  };
  const now = bus.options.now();
  const expired = new Map<StreamAddress, readonly number[]>();
  const slice = new Slice();
  let kept: Entry[] = [];
  let more = false;
  const streams = await streamsOf(bus, sender, span);
  await bus.messages.requireReader(sender, span.room === undefined && span.channel === undefined ? {} : placeOf(span));
  for (const stream of streams) {
    if (slice.isOver) await slice.next();
    const wants = (stored: StoredEvent): boolean =>
      after === undefined || sign * compare(pointOf({ stored, stream }), after) > 0;
    const page = await readWithin(broker, stream, query, now, wants);
    if (page.expired.length > 0) expired.set(stream, page.expired);
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
    next: isWhole || last === undefined ? null : pointOf(last),
    expired,
  };
}

function writeCursor({ time, room, channel, sequence }: Point): string {
  return Buffer.from(JSON.stringify([time, room, channel, sequence])).toString('base64url');
}

function readCursor(text: string | undefined): Point | undefined {
  if (text === undefined) return undefined;
  try {
    const [time, room, channel, sequence] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (Number.isFinite(time) && Number.isFinite(sequence) && typeof room === 'string' && typeof channel === 'string') {
      return { time: time as number, room, channel, sequence: sequence as number };
    }
  } catch {
    // Refused below, like JSON that is not a cursor.
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

/** One stream, all of a room that the grants cover, or for an admin the whole tenant. */
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
    // Mail is only read from individual mailboxes.
    return (await bus.engine.broker.streams(tenant)).filter((stream) => stream.room !== MAIL_ROOM && covered(stream));
  }
  const { room, channel } = placeOf(span);
  if (channel !== WILDCARD || span.room?.includes(':') === true || span.channel !== undefined) {
    return [readableStream(bus, sender, { room, channel })];
  }
  const streams = (await bus.engine.broker.streams(tenant, room)).filter(covered);
  if (streams.length === 0 && !bus.access.may(principal, 'history', room, WILDCARD)) throw forbidden(room, WILDCARD);
  return streams;
}

/** Expired events are not gaps: they are known to have existed. */
function checkGaps({ entries, expired }: SpanPage): void {
  const last = new Map<StreamAddress, number>();
  for (const { stored, stream } of entries) {
    const before = last.get(stream) ?? stored.sequence - 1;
    last.set(stream, stored.sequence);
    if (stored.sequence === before + 1) continue;
    const gone = new Set(expired.get(stream));
    let known = before + 1;
    while (gone.has(known)) known += 1;
    if (known === stored.sequence) continue;
    throw new BusError('SEQUENCE_GAP', 'The history asked for has a hole; ask with "strict_sequence": false.', {
      room: stream.room,
      channel: stream.channel,
      after_sequence: before,
      next_sequence: stored.sequence,
    });
  }
}

function parse(time: string | undefined): number | undefined {
  return time === undefined ? undefined : parseTimestamp(time);
}

function messagesText({ texts, position, recovered, next, previous }: Messages): JsonText {
  const rest = JSON.stringify({ position, ...(recovered === undefined ? {} : { recovered }), next, previous });
  return new JsonText(`{"messages":[${texts.join(',')}],${rest.slice(1)}`);
}
