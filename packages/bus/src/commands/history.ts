import {
  BusError,
  type CommandResult,
  type Envelope,
  type HistoryEntry,
  parseTimestamp,
  WILDCARD,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { Bus } from '../bus.ts';
import type { Sender } from '../connection/session.ts';
import type { HistoryQuery, StoredEvent, StreamAddress } from '../engine/engine.ts';
import { hasRole, may } from '../principal.ts';
import { forbidden } from '../publish.ts';
import { STORED } from '../schemas/envelopes.ts';
import { COUNT } from '../schemas/fields.ts';
import { limitUpTo, PLACE, placeOf, TIME } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { HISTORY_ENTRY } from './records.ts';

/** Characters of envelopes in one answer; a page ends before it, a time range beyond it is refused. */
const MAX_ANSWER = 16 * 1_048_576;
const SEQUENCE = z.number().int().min(0);
const ENTRIES = { entries: z.array(HISTORY_ENTRY).describe('Oldest first.'), count: COUNT };

interface Span {
  readonly room?: string;
  readonly channel?: string;
  readonly limit: number;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** history, op.history.get, op.history.replay. Every list is oldest first. */
export function historyCommands(bus: Bus): AnyCommand[] {
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
      run: async ({ sender }, args): Promise<CommandResult<'history'>> => {
        const stream = readableStream(sender, placeOf(args));
        const { limit = 50, before, after } = args;
        // One more than asked for tells whether there is a next page.
        const query: HistoryQuery = {
          limit: limit + 1,
          take: after === undefined ? 'last' : 'first',
          ...(before === undefined ? {} : { toSequence: before - 1 }),
          ...(after === undefined ? {} : { fromSequence: after + 1 }),
        };
        const found = await bus.engine.broker.history(stream, query);
        if (found.length === 0) existing(bus, stream);
        return page(fitting(found, after !== undefined), limit, before, after);
      },
    }),
    command({
      name: 'op.history.get',
      aliases: ['history.get'],
      role: 'guest',
      description: 'Stored envelopes of a time range, of a channel, a room, or (admin) the whole tenant.',
      args: z.strictObject({
        ...PLACE,
        limit: limitUpTo(1_000),
        since: TIME.exactOptional(),
        until: TIME.exactOptional(),
      }),
      result: z.strictObject(ENTRIES),
      run: async ({ sender }, args): Promise<CommandResult<'op.history.get'>> => {
        const { limit = 100, since, until } = args;
        const entries = await entriesOf(bus, sender, { ...args, limit, from: parse(since), to: parse(until) }, 'last');
        return { entries, count: entries.length };
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
      }),
      result: z.strictObject({ ...ENTRIES, latency_ms: z.number().min(0) }),
      run: async ({ sender }, args): Promise<CommandResult<'op.history.replay'>> => {
        const started = performance.now();
        const { limit = 1_000, from_ts, to_ts, strict_sequence: strict = true } = args;
        const span = { ...args, limit, from: parse(from_ts), to: parse(to_ts) };
        if (Number(span.from) > Number(span.to)) {
          throw new BusError('VALIDATION_ERROR', '"from_ts" is later than "to_ts".', { field: 'from_ts' });
        }
        const entries = await entriesOf(bus, sender, span, 'first');
        if (strict) checkGaps(entries);
        const latency_ms = Math.round((performance.now() - started) * 1000) / 1000;
        return { entries, count: entries.length, latency_ms };
      },
    }),
  ];
}

function readableStream(sender: Sender, { room, channel }: { room: string; channel: string }): StreamAddress {
  if (room === WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'Name one room.', { field: 'room', expected: 'name' });
  }
  if (!may(sender.principal, 'subscribe', room, channel)) throw forbidden(room, channel);
  return { tenant: sender.principal.tenant, room, channel };
}

/** An empty history of a channel that is known neither here nor to the engine is none at all. */
function existing(bus: Bus, { tenant, room, channel }: StreamAddress): void {
  if (bus.rooms.tenant(tenant).find(room, channel) !== undefined) return;
  throw new BusError('NOT_FOUND', `The channel ${room}:${channel} does not exist.`, { room, channel });
}

/** As much of a page as one answer may hold, from the end that it was asked for; always one envelope. */
function fitting(found: readonly StoredEvent[], forward: boolean): { found: readonly StoredEvent[]; isWhole: boolean } {
  let size = 0;
  const ordered = forward ? found : found.toReversed();
  const cut = ordered.findIndex(({ text }, at) => {
    size += text.length;
    return at > 0 && size > MAX_ANSWER;
  });
  if (cut < 0) return { found, isWhole: true };
  const kept = ordered.slice(0, cut);
  return { found: forward ? kept : kept.toReversed(), isWhole: false };
}

function page(
  { found, isWhole }: { readonly found: readonly StoredEvent[]; readonly isWhole: boolean },
  limit: number,
  before: number | undefined,
  after: number | undefined,
): CommandResult<'history'> {
  const more = found.length > limit || !isWhole;
  const forward = after !== undefined;
  const kept = found.length <= limit ? found : forward ? found.slice(0, limit) : found.slice(1);
  const first = kept[0]?.sequence;
  const last = kept[kept.length - 1]?.sequence;
  const hasOlder = forward ? after > 0 : more;
  const hasNewer = forward ? more : before !== undefined;
  return {
    messages: kept.map(({ text }) => JSON.parse(text) as Envelope),
    next: hasNewer && last !== undefined ? last : null,
    previous: hasOlder && first !== undefined && first > 1 ? first : null,
  };
}

async function entriesOf(bus: Bus, sender: Sender, span: Span, take: 'first' | 'last'): Promise<HistoryEntry[]> {
  const { broker, backend } = bus.engine;
  const query: HistoryQuery = {
    limit: span.limit,
    take,
    ...(span.from === undefined ? {} : { fromTime: span.from }),
    ...(span.to === undefined ? {} : { toTime: span.to }),
  };
  const found: { stored: StoredEvent; stream: StreamAddress; epoch: string }[] = [];
  for (const stream of await streamsOf(bus, sender, span)) {
    const events = await broker.history(stream, query);
    if (events.length === 0) continue;
    const { epoch } = await broker.state(stream);
    for (const stored of events) found.push({ stored, stream, epoch });
  }
  found.sort((one, other) => one.stored.time - other.stored.time);
  const kept = take === 'first' ? found.slice(0, span.limit) : found.slice(-span.limit);
  if (kept.reduce((size, { stored }) => size + stored.text.length, 0) > MAX_ANSWER) {
    throw new BusError(
      'LIMIT_EXCEEDED',
      'This is more than one answer may hold; ask for a shorter time or a lower limit.',
      {
        field: 'limit',
        limit: MAX_ANSWER,
      },
    );
  }
  return kept.map(({ stored, epoch }) => ({
    envelope: JSON.parse(stored.text) as Envelope,
    stored_at: new Date(stored.time).toISOString(),
    storage_metadata: { backend, sequence: stored.sequence, epoch },
  }));
}

/** One stream, all of a room that the grants cover, or for an admin all of the tenant. */
async function streamsOf(bus: Bus, sender: Sender, span: Span): Promise<StreamAddress[]> {
  const { principal } = sender;
  const { tenant } = principal;
  const covered = (stream: StreamAddress): boolean => may(principal, 'subscribe', stream.room, stream.channel);
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
    const stream = readableStream(sender, { room, channel });
    return [stream];
  }
  const streams = (await bus.engine.broker.streams(tenant, room)).filter(covered);
  if (streams.length === 0 && !may(principal, 'subscribe', room, WILDCARD)) throw forbidden(room, WILDCARD);
  return streams;
}

function checkGaps(entries: readonly HistoryEntry[]): void {
  const last = new Map<string, number>();
  for (const { envelope, storage_metadata } of entries) {
    const { sequence, epoch } = storage_metadata;
    const key = `${envelope.room}:${envelope.channel} ${epoch}`;
    const before = last.get(key);
    if (before !== undefined && sequence !== before + 1) {
      throw new BusError('SEQUENCE_GAP', 'The history asked for has a hole; ask with "strict_sequence": false.', {
        room: envelope.room,
        channel: envelope.channel,
        after_sequence: before,
        next_sequence: sequence,
      });
    }
    last.set(key, sequence);
  }
}

function parse(time: string | undefined): number | undefined {
  return time === undefined ? undefined : parseTimestamp(time);
}
