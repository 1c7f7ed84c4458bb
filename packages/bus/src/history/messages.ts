import { BusError, MAIL_ROOM, type Position, parseTimestamp, WILDCARD } from '@arqonbus/protocol';
import { type Access, forbidden } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import type { Broker, HistoryQuery, StreamAddress, StreamState } from '../engine/engine.ts';
import type { HttpHooks } from '../hooks/hooks.ts';
import type { Hops } from '../hops.ts';
import type { Rooms } from '../rooms.ts';
import { Slice } from '../turn.ts';
import { compare, type Entry, fit, MAX_ANSWER, pointOf, readWithin } from './page.ts';
import type { Waits } from './waits.ts';

/** Maximum number of streams of a room read together, which is also the maximum size of a map of positions. */
const MAX_STREAMS = 1_000;

/** A sequence, or for a whole room a sequence by channel. */
type Bound = number | Readonly<Record<string, number>>;

/** Where to continue: a position, the positions of a room's channels, or a time. */
type Since = Position | Readonly<Record<string, Position>> | { readonly time: string };

export interface MessagesRequest {
  readonly room: string;
  /** `*`: the room-wide stream alone. Undefined: all channels of the room, merged by time. */
  readonly channel: string | undefined;
  readonly limit: number;
  /** Only messages below this; the last ones. */
  readonly before?: Bound | undefined;
  /** Only messages above this; the first ones. */
  readonly after?: Bound | undefined;
  /** Like `after`, but includes the epoch; excludes the other two. */
  readonly since?: Since | undefined;
  /** How long to wait for the first message if there is none. */
  readonly waitMs?: number | undefined;
  /** Ends the wait when a caller without a bus connection is gone. */
  readonly signal?: AbortSignal | undefined;
}

/** One page of messages, and where it ends. Single values for a channel; maps by channel for a room. */
export interface Messages {
  /** Envelopes as JSON, oldest first. */
  readonly texts: readonly string[];
  /** Where to continue with `since`: nothing before it was left out, except what is no longer kept. */
  readonly position: Position | Readonly<Record<string, Position>>;
  /** With `since`: whether everything missed is still kept. False: another epoch, or retention removed some of it. */
  readonly recovered: boolean | undefined;
  /** For `after`; null at the end. */
  readonly next: Bound | null;
  /** For `before`; null at the beginning. */
  readonly previous: Bound | null;
}

export interface MessagesParts {
  readonly rooms: Rooms;
  readonly broker: Broker;
  readonly access: Access;
  readonly waits: Waits;
  readonly http: Pick<HttpHooks, 'read'>;
  readonly hops: Hops;
  readonly now: () => number;
}

/** A channel of a room, or `*`. */
interface Place {
  readonly room: string;
  readonly channel: string;
}

/** A stream to read, with its bounds. */
interface Reader {
  readonly stream: StreamAddress;
  readonly state: StreamState;
  /** Only sequences above this; undefined when reading starts at a time. */
  readonly after: number | undefined;
  readonly before: number | undefined;
}

interface Plan {
  readonly readers: readonly Reader[];
  readonly forward: boolean;
  readonly fromTime: number | undefined;
  readonly recovered: boolean | undefined;
}

/** Reads what channels keep, for callers without a subscription: page by page, or waiting for new messages. */
export class MessageHistory {
  private readonly parts: MessagesParts;

  constructor(parts: MessagesParts) {
    this.parts = parts;
  }

  /**
   * Reads one page. With `waitMs` and nothing to return, it waits for the first message, at the cost of a timer; when
   * the time is up, the connection is gone or the server stops, the page is empty.
   *
   * Throws AUTHORIZATION_ERROR; NOT_FOUND for what does not exist, unless waiting; VALIDATION_ERROR for conflicting
   * bounds; LIMIT_EXCEEDED beyond a client's waits and for a room of more than 1,000 streams.
   *
   * @param onWait called when it starts to wait: the caller's other work can continue
   */
  async read(sender: Sender, request: MessagesRequest, onWait: () => void = () => {}): Promise<Messages> {
    check(request);
    const { room, channel, waitMs = 0 } = request;
    const first = await this.look(sender, request, request.waitMs !== undefined);
    await this.requireReader(sender, { room, channel });
    if (first.texts.length > 0 || waitMs === 0) return first;
    onWait();
    const at = { tenant: sender.principal.tenant, room, channel };
    return this.parts.waits.during(sender, at, { ms: waitMs, signal: request.signal }, async (wait) => {
      // Picks up messages that arrived before the wait was registered.
      for (let page = await this.look(sender, request, true); ; page = await this.look(sender, request, true)) {
        if (page.texts.length > 0) return page;
        if ((await wait.next()) !== 'event') return page;
      }
    });
  }

  /**
   * Asks the backends named by rules whether the sender may read the history of a place; for a member this has already
   * been done. Without a room it means the whole tenant. Rejects with the refusal.
   */
  async requireReader(
    sender: Sender,
    {
      room = WILDCARD,
      channel = WILDCARD,
    }: { readonly room?: string | undefined; readonly channel?: string | undefined },
  ): Promise<void> {
    if (!isMember(sender, { room, channel })) await this.parts.http.read(sender, { room, channel });
  }

  private async look(sender: Sender, request: MessagesRequest, mayBeMissing: boolean): Promise<Messages> {
    const { broker } = this.parts;
    const streams = await this.streamsOf(sender, request, mayBeMissing);
    const plan = planOf(request, streams);
    const recovered = plan.recovered === true && plan.fromTime !== undefined ? undefined : plan.recovered;
    const { entries, isCut, seen } = await readMerged(broker, plan, request.limit, this.parts.now());
    const page = new PageEnds(plan, entries, isCut, seen);
    const isWhole = request.channel === undefined;
    // A reader of a message on this node may answer it here.
    for (const { stored } of entries) this.parts.hops.learn(sender.principal.tenant, stored.text);
    return {
      texts: entries.map(({ stored }) => stored.text),
      position: isWhole ? page.positions() : (page.positions()[request.channel] as Position),
      recovered: recovered ?? (await this.reaches(plan)),
      next: isWhole ? page.next() : one(page.next()),
      previous: isWhole ? page.previous() : one(page.previous()),
    };
  }

  /** Whether everything after the time is still kept; undefined without a time. */
  private async reaches({ readers, fromTime }: Plan): Promise<boolean | undefined> {
    if (fromTime === undefined) return undefined;
    for (const { stream, state } of readers) {
      if (state.oldest <= 1) continue;
      const [oldest] = await this.parts.broker.history(stream, { limit: 1 });
      if (oldest === undefined || oldest.time > fromTime) return false;
    }
    return true;
  }

  /** The requested streams and their state. */
  private async streamsOf(
    { principal }: Sender,
    { room, channel }: MessagesRequest,
    mayBeMissing: boolean,
  ): Promise<{ stream: StreamAddress; state: StreamState }[]> {
    const { access, broker } = this.parts;
    const { tenant } = principal;
    if (room === WILDCARD) {
      throw new BusError('VALIDATION_ERROR', 'Name one room.', { field: 'room', expected: 'name' });
    }
    if (channel !== undefined) {
      access.require(principal, 'history', room, channel);
      const stream = { tenant, room, channel };
      const state = await this.stateOf(stream);
      if (state !== null) return [{ stream, state }];
      // A mailbox exists before its first message.
      if (mayBeMissing || room === MAIL_ROOM) return [{ stream, state: NO_STATE }];
      throw new BusError('NOT_FOUND', `The channel ${room}:${channel} does not exist.`, { room, channel });
    }
    const known = await broker.streams(tenant, room);
    const names = new Set([WILDCARD, ...known.map((stream) => stream.channel)]);
    const covered = [...names].filter((name) => access.may(principal, 'history', room, name));
    if (covered.length === 0) throw forbidden(room, WILDCARD);
    if (known.length === 0 && !mayBeMissing && this.parts.rooms.tenant(tenant).rooms.get(room) === undefined) {
      throw new BusError('NOT_FOUND', `The room ${room} does not exist.`, { room });
    }
    if (covered.length > MAX_STREAMS) {
      throw new BusError('LIMIT_EXCEEDED', `The room has more than ${MAX_STREAMS} channels; read them one by one.`, {
        field: 'channel',
        limit: MAX_STREAMS,
      });
    }
    const states = covered.map(async (name) => {
      const stream = { tenant, room, channel: name };
      return { stream, state: (await this.stateOf(stream)) ?? NO_STATE };
    });
    return Promise.all(states);
  }

  /** A stream's state, if it has events or a channel here; otherwise null. */
  private async stateOf(stream: StreamAddress): Promise<StreamState | null> {
    const { broker, rooms } = this.parts;
    const state = await broker.find(stream);
    if (state !== null) return state;
    const { tenant, room, channel } = stream;
    return rooms.tenant(tenant).find(room, channel) === undefined ? null : broker.state(stream);
  }
}

/** A stream that never existed: a reader that comes back with this position has missed nothing. */
const NO_STATE: StreamState = { sequence: 0, epoch: '', oldest: 1 };

/** Members of the channel or its room have already been checked. */
function isMember({ session }: Sender, { room, channel }: Place): boolean {
  for (const place of session?.memberships.keys() ?? []) {
    if (place.room === room && (place.channel === WILDCARD || place.channel === channel)) return true;
  }
  return false;
}

function check({ before, after, since, channel, waitMs = 0 }: MessagesRequest): void {
  if (since !== undefined && (before !== undefined || after !== undefined)) {
    throw invalid('since', '"since" and a sequence both say where to read; send one.');
  }
  if (waitMs > 0 && before !== undefined) throw invalid('wait_ms', '"wait_ms" does not go with "before".');
  if (channel === undefined) return;
  for (const [field, bound] of Object.entries({ before, after })) {
    if (typeof bound === 'object') throw invalid(field, `"${field}" of one channel is a sequence.`);
  }
  if (since !== undefined && !isPosition(since) && !isTime(since)) {
    throw invalid('since', '"since" of one channel is its position, or a time.');
  }
}

function planOf(
  { before, after, since }: MessagesRequest,
  streams: readonly { stream: StreamAddress; state: StreamState }[],
): Plan {
  const forward = since !== undefined || after !== undefined;
  const fromTime = since !== undefined && isTime(since) ? parseTimestamp(since.time) : undefined;
  let recovered: boolean | undefined = since === undefined ? undefined : true;
  const readers = streams.map(({ stream, state }): Reader => {
    const { channel } = stream;
    if (!forward) return { stream, state, after: 0, before: boundOf(before, channel) };
    if (fromTime !== undefined) return { stream, state, after: undefined, before: undefined };
    if (since === undefined) {
      return { stream, state, after: boundOf(after, channel) ?? 0, before: boundOf(before, channel) };
    }
    const start = startOf(since as Position | Record<string, Position>, channel, state);
    if (start.recovered === false) recovered = false;
    return { stream, state, after: start.after, before: undefined };
  });
  if (since !== undefined && !isPosition(since) && fromTime === undefined) {
    const names = new Set(streams.map(({ stream }) => stream.channel));
    // A stream in the map that no longer exists was forgotten along with its events.
    if (Object.keys(since).some((name) => !names.has(name))) recovered = false;
  }
  return { readers, forward, fromTime, recovered };
}

/** Where to continue reading a stream that was left at a position. */
function startOf(
  since: Position | Readonly<Record<string, Position>>,
  channel: string,
  { sequence, epoch, oldest }: StreamState,
): { after: number; recovered?: false } {
  const position = isPosition(since) ? since : Object.hasOwn(since, channel) ? since[channel] : undefined;
  if (position === undefined) {
    // A map that includes the room-wide stream is complete: a channel it lacks is new to the reader.
    const isNew = Object.hasOwn(since, WILDCARD);
    return { after: isNew ? 0 : sequence };
  }
  const isUnknown = position.epoch === '' && position.sequence === 0;
  const isSame = position.epoch === epoch && position.sequence <= sequence;
  if (!isSame && !isUnknown) return { after: 0, recovered: false };
  const isKept = position.sequence + 1 >= oldest;
  return isKept ? { after: position.sequence } : { after: position.sequence, recovered: false };
}

/** The merged result of all streams. */
interface Merged {
  /** Oldest first. */
  readonly entries: readonly Entry[];
  /** Whether there is more in the reading direction. */
  readonly isCut: boolean;
  /** By channel: the first sequence found, whether or not it is returned. */
  readonly seen: ReadonlyMap<string, number>;
}

/** An event among those of other streams. */
interface Placed extends Entry {
  /** Its own time, adjusted to keep the stream's order: nodes stamp events before the engine orders them. */
  readonly time: number;
}

async function readMerged(broker: Broker, plan: Plan, limit: number, now: number): Promise<Merged> {
  const { readers, forward, fromTime } = plan;
  const sign = forward ? 1 : -1;
  const inOrder = (left: Placed, right: Placed): number =>
    sign * compare({ ...pointOf(left), time: left.time }, { ...pointOf(right), time: right.time });
  const slice = new Slice();
  const seen = new Map<string, number>();
  let kept: Placed[] = [];
  let bytes = 0;
  let isCut = false;
  const cut = (): void => {
    kept.sort(inOrder);
    const fitting = fit(kept, limit);
    isCut ||= fitting.length < kept.length;
    kept = kept.slice(0, fitting.length);
    bytes = 0;
  };
  for (const { stream, after, before } of readers) {
    if (slice.isOver) await slice.next();
    const query: HistoryQuery = {
      limit,
      take: forward ? 'first' : 'last',
      ...(after === undefined ? {} : { fromSequence: after + 1 }),
      ...(before === undefined ? {} : { toSequence: before - 1 }),
      ...(fromTime === undefined ? {} : { fromTime }),
    };
    const page = await readWithin(broker, stream, query, now);
    isCut ||= page.more;
    const [first] = page.found;
    if (first !== undefined) seen.set(stream.channel, first.sequence);
    let time = forward ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    for (const stored of forward ? page.found : page.found.toReversed()) {
      time = forward ? Math.max(time, stored.time) : Math.min(time, stored.time);
      kept.push({ stored, stream, time });
      bytes += stored.text.length;
    }
    if (kept.length > limit || bytes > MAX_ANSWER) cut();
  }
  cut();
  return { entries: forward ? kept : kept.toReversed(), isCut, seen };
}

/** Where a page ends in each of its streams. */
class PageEnds {
  private readonly plan: Plan;
  private readonly isCut: boolean;
  private readonly seen: ReadonlyMap<string, number>;
  private readonly first: Map<string, number> = new Map();
  private readonly last: Map<string, number> = new Map();

  constructor(plan: Plan, entries: readonly Entry[], isCut: boolean, seen: ReadonlyMap<string, number>) {
    this.plan = plan;
    this.isCut = isCut;
    this.seen = seen;
    for (const { stored, stream } of entries) {
      if (!this.first.has(stream.channel)) this.first.set(stream.channel, stored.sequence);
      this.last.set(stream.channel, stored.sequence);
    }
  }

  positions(): Record<string, Position> {
    return this.map((reader) => {
      const { state, before } = reader;
      const last = this.last.get(reader.stream.channel);
      const isToTheEnd = before === undefined && !(this.plan.forward && this.isCut);
      const sequence = isToTheEnd ? Math.max(state.sequence, last ?? 0) : (last ?? this.start(reader));
      return { sequence, epoch: state.epoch };
    });
  }

  next(): Record<string, number> | null {
    const { forward, readers } = this.plan;
    const hasMore = forward ? this.isCut : readers.some(({ before }) => before !== undefined);
    if (!hasMore || this.last.size === 0) return null;
    return this.map((reader) => this.last.get(reader.stream.channel) ?? this.start(reader));
  }

  previous(): Record<string, number> | null {
    const { forward, readers } = this.plan;
    const hasMore = forward ? readers.some((reader) => this.start(reader) > 0) : this.isCut;
    const isAtStart = [...this.first.values()].every((sequence) => sequence <= 1);
    if (!hasMore || this.first.size === 0 || (isAtStart && this.first.size === readers.length)) return null;
    return this.map((reader) => {
      const { state, before } = reader;
      const given = this.first.get(reader.stream.channel);
      if (given !== undefined) return given;
      return forward ? this.start(reader) + 1 : (before ?? state.sequence + 1);
    });
  }

  /** The sequence before the page, in a stream that it starts with or has no events of. */
  private start({ stream, state, after, before }: Reader): number {
    if (!this.plan.forward && before !== undefined) return Math.min(before - 1, state.sequence);
    if (after !== undefined) return after;
    const first = this.seen.get(stream.channel);
    return first === undefined ? state.sequence : first - 1;
  }

  private map<T>(value: (reader: Reader) => T): Record<string, T> {
    return Object.fromEntries(this.plan.readers.map((reader) => [reader.stream.channel, value(reader)]));
  }
}

function boundOf(bound: Bound | undefined, channel: string): number | undefined {
  if (typeof bound !== 'object') return bound;
  return Object.hasOwn(bound, channel) ? bound[channel] : undefined;
}

function isPosition(since: Since): since is Position {
  return 'sequence' in since && typeof since.sequence === 'number';
}

function isTime(since: Since): since is { time: string } {
  return 'time' in since && typeof since.time === 'string';
}

function one(bounds: Record<string, number> | null): number | null {
  return bounds === null ? null : (Object.values(bounds)[0] as number);
}

function invalid(field: string, sentence: string): BusError {
  return new BusError('VALIDATION_ERROR', sentence, { field });
}
