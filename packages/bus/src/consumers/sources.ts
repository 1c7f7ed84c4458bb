import { BusError, compilePattern, isChannelPattern, type Position, WILDCARD } from '@arqonbus/protocol';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Awaitable, Broker, StoredEvent, StreamAddress, StreamEvent, StreamState } from '../engine/engine.ts';
import { type GroupPlace, isWide, MAX_STREAMS, streamName, streamOf } from './group.ts';
import type { Entry, Ledger, LedgerStream } from './ledger.ts';

/** Events read from history at a time, and the target size of a read in UTF-16 units. */
const MAX_READ = 256;
const FIRST_READ = 8;
const READ_LENGTH = 262_144;
/** Streams queried at the same time. */
const AT_ONCE = 50;
/** The delay before a failed read of a stream is retried, in milliseconds. */
const RETRY_MS = 1_000;

export interface SourceEvents {
  /** An event is to be delivered; its text is on the entry. */
  onEntry(entry: Entry): void;
  /** Events were lost before the group read them, by retention or the end of an epoch; 0: number unknown. */
  onLost(channel: string, count: number): void;
  /** There is more to read than before. */
  onMore(): void;
  onFault(error: unknown): void;
  /** Calls back once, `ms` milliseconds from now. */
  after(ms: number, callback: () => void): () => void;
}

/** Which channels of its room a group reads. */
export function covering(channel: string): (name: string) => boolean {
  if (channel === WILDCARD) return () => true;
  if (isChannelPattern(channel)) return compilePattern(channel);
  return (name) => name === channel;
}

class Source {
  readonly stream: LedgerStream;
  readonly address: StreamAddress;
  /** The last sequence that is known to exist. */
  head: number;
  /** Highest live sequence since the stream's end was last requested; that result may be older. */
  seen = 0;
  isReading = false;
  /** Its epoch must be checked before anything more is accepted, and again if a check is running. */
  isStale = true;
  /** Its end must be looked up again; running reads stay valid. */
  isOld = false;
  /** It has been checked since this node drives the group. */
  isKnown = false;
  pull = FIRST_READ;
  private epoch = '';
  private suffix = '';

  constructor(stream: LedgerStream, address: StreamAddress) {
    this.stream = stream;
    this.address = address;
    this.head = stream.position;
  }

  get hasMore(): boolean {
    return this.isStale || this.isOld || this.head > this.stream.position;
  }

  /** Whether an event belongs to the epoch that the group reads: envelopes end with the epoch. */
  isOurs(text: string): boolean {
    if (this.epoch !== this.stream.epoch) {
      this.epoch = this.stream.epoch;
      this.suffix = `"epoch":"${this.epoch}"}}`;
    }
    return text.endsWith(this.suffix);
  }
}

/**
 * The streams of one group, read in order and only on demand: live events directly when each is the next one,
 * everything else from history. Events missing from history are reported.
 */
export class Sources {
  private readonly place: GroupPlace;
  private readonly broker: Broker;
  private readonly ledger: Ledger;
  private readonly events: SourceEvents;
  private readonly covers: (channel: string) => boolean;
  private readonly sources: Map<string, Source> = new Map();
  /** Sources that may have more, the next one to read first. */
  private readonly backlog: Set<Source> = new Set();
  private isOver = false;
  private isDiscovering = false;
  /** Streams that were refused because the group has reached its limit. */
  readonly refused: Set<string> = new Set();

  constructor(place: GroupPlace, broker: Broker, ledger: Ledger, events: SourceEvents) {
    this.place = place;
    this.broker = broker;
    this.ledger = ledger;
    this.events = events;
    this.covers = covering(place.channel);
  }

  /** Opens the streams that the ledger knows, and the existing ones. */
  async open(): Promise<void> {
    for (const stream of this.ledger.streams.values()) this.begin(stream);
    await this.discover();
    const all = [...this.sources.values()];
    for (let at = 0; at < all.length; at += AT_ONCE) {
      await Promise.all(all.slice(at, at + AT_ONCE).map((source) => this.look(source)));
    }
  }

  close(): void {
    this.isOver = true;
    this.backlog.clear();
  }

  /** Handles an event of the room: offered at once if it is `wanted` and the next of its stream, else read later. */
  take(event: StreamEvent, wanted: boolean): void {
    const { sequence, text } = event;
    const channel = streamName(this.place, event.stream);
    if (sequence === 0 || !this.covers(channel)) return;
    const source = this.sources.get(channel) ?? this.appear(channel);
    if (source === undefined) return;
    if (source.isStale || !source.isOurs(text)) {
      source.isStale = true;
      this.more(source);
      return;
    }
    source.seen = Math.max(source.seen, sequence);
    if (sequence <= source.head) return;
    source.head = sequence;
    if (wanted && !source.isReading && sequence === source.stream.position + 1) {
      this.offer(source, sequence, text);
      this.events.onMore();
      return;
    }
    this.more(source);
  }

  /** This node may have missed events. */
  doubt(): void {
    for (const source of this.sources.values()) {
      source.isStale = true;
      this.backlog.add(source);
    }
    this.discoverSoon();
    this.events.onMore();
  }

  /** A caller wants what exists now, which may be stored but not received yet. Not quiet until that is known. */
  refresh(): void {
    for (const source of this.sources.values()) {
      source.isOld = true;
      this.backlog.add(source);
    }
    if (isWide(this.place.channel)) this.discoverSoon();
  }

  private discoverSoon(): void {
    if (this.isDiscovering) return;
    this.isDiscovering = true;
    const over = (): void => {
      this.isDiscovering = false;
      this.events.onMore();
    };
    this.discover().then(over, (error) => {
      over();
      this.fault(error);
    });
  }

  /** Whether a read could return anything. */
  get hasMore(): boolean {
    return this.backlog.size > 0;
  }

  /** Events that are known to exist and were not read. */
  get unread(): number {
    let unread = 0;
    for (const { stream, head } of this.sources.values()) {
      unread += Math.max(0, head - stream.position - stream.knownAbove);
    }
    return unread;
  }

  /** Whether everything that exists has been read. */
  get isQuiet(): boolean {
    if (this.backlog.size > 0 || this.isDiscovering) return false;
    for (const { isReading } of this.sources.values()) if (isReading) return false;
    return true;
  }

  /** Checks streams in doubt, and reads up to `wanted` events, which may arrive later. */
  read(wanted: number): void {
    let left = wanted;
    for (const source of [...this.backlog]) {
      if (this.isOver) return;
      if (left <= 0 && !source.isStale && !source.isOld) continue;
      this.backlog.delete(source);
      if (source.isReading || !source.hasMore) continue;
      const limit = Math.min(left, source.pull);
      left -= limit;
      source.isReading = true;
      const done = (): void => {
        source.isReading = false;
        if (source.hasMore) this.more(source);
        else this.events.onMore();
      };
      attempt<void>(
        () => andThen(this.advance(source, limit), done),
        (error) => {
          source.isReading = false;
          // The result of the check is still unknown.
          source.isStale = true;
          this.fault(error);
          this.events.after(RETRY_MS, () => this.more(source));
        },
      );
    }
  }

  /** Reads one event again, for another attempt; null when history no longer has it. */
  fetch({ stream, sequence }: Entry): Awaitable<string | null> {
    const query = { fromSequence: sequence, toSequence: sequence, limit: 1 };
    return andThen(this.broker.history(this.address(stream.channel), query), ([found]) => found?.text ?? null);
  }

  /** Reads, and retries until it succeeds; `found` may be called later. */
  insist<T>(read: () => Awaitable<T>, found: (value: T) => void): void {
    attempt<void>(
      () => andThen(read(), found),
      (error) => {
        this.fault(error);
        this.events.after(RETRY_MS, () => {
          if (!this.isOver) this.insist(read, found);
        });
      },
    );
  }

  /** The ends of the streams, and the number of unread events. */
  async measure(): Promise<{ unread: number; heads: Map<string, StreamState> }> {
    let unread = 0;
    const heads = new Map<string, StreamState>();
    for (const { stream, address } of this.sources.values()) {
      const state = await this.broker.state(address);
      heads.set(stream.channel, state);
      const isOurs = stream.epoch === '' || state.epoch === stream.epoch;
      if (isOurs) unread += Math.max(0, state.sequence - stream.position - stream.knownAbove);
    }
    return { unread, heads };
  }

  /** Milliseconds since the oldest unsettled event was accepted; null without one. */
  async age(now: number): Promise<number | null> {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { stream, address } of this.sources.values()) {
      const { floor, entries, position } = stream;
      const known = [...entries.values()].map(({ sequence }) => Math.max(sequence, floor + 1));
      const [event] = await this.broker.history(address, { fromSequence: Math.min(position + 1, ...known), limit: 1 });
      if (event !== undefined) oldest = Math.min(oldest, event.time);
    }
    return oldest === Number.POSITIVE_INFINITY ? null : Math.max(0, Math.round(now - oldest));
  }

  /** Moves to given positions in existing streams. */
  async seek(positions: Readonly<Record<string, Position>>): Promise<void> {
    for (const [channel, { sequence, epoch }] of Object.entries(positions)) {
      const stream = this.ledger.streams.get(channel) ?? this.ledger.follow(channel, sequence, epoch);
      this.ledger.seek(stream, sequence, epoch);
      const source = this.begin(stream);
      source.head = sequence;
      source.isStale = true;
      this.more(source);
    }
  }

  private address(name: string): StreamAddress {
    return streamOf(this.place, name);
  }

  private begin(stream: LedgerStream): Source {
    const known = this.sources.get(stream.channel);
    if (known !== undefined) return known;
    const source = new Source(stream, this.address(stream.channel));
    this.sources.set(stream.channel, source);
    this.backlog.add(source);
    return source;
  }

  /** A stream that is new to the group; it is read from its start. */
  private appear(channel: string): Source | undefined {
    if (this.sources.size >= MAX_STREAMS) {
      if (!this.refused.has(channel) && this.refused.size < MAX_STREAMS) {
        this.refused.add(channel);
        const { room, group } = this.place;
        this.events.onFault(
          new Error(`The group ${group} reads ${MAX_STREAMS} channels of ${room}, and does not read ${channel} too.`),
        );
      }
      return undefined;
    }
    return this.begin(this.ledger.follow(channel, 0, ''));
  }

  private async discover(): Promise<void> {
    const { tenant, room, channel } = this.place;
    if (!isWide(channel)) {
      if (!this.ledger.streams.has(channel)) this.appear(channel);
      return;
    }
    for (const stream of await this.broker.streams(tenant, room === WILDCARD ? undefined : room)) {
      const name = streamName(this.place, stream);
      if (!this.isOver && this.covers(name) && !this.sources.has(name)) this.appear(name);
    }
  }

  private more(source: Source): void {
    if (this.isOver) return;
    this.backlog.add(source);
    this.events.onMore();
  }

  private offer(source: Source, sequence: number, text: string): void {
    const entry = this.ledger.offer(source.stream, sequence);
    if (entry === null) return;
    this.ledger.keep(entry, text);
    this.events.onEntry(entry);
  }

  /** Takes the next step in a stream: checks it when it is in doubt, then reads. */
  private advance(source: Source, limit: number): Awaitable<void> {
    const looked = source.isStale || source.isOld ? this.look(source) : undefined;
    return isPending(looked) ? looked.then(() => this.pull(source, limit)) : this.pull(source, limit);
  }

  private pull(source: Source, limit: number): Awaitable<void> {
    const { stream, address } = source;
    if (this.isOver || source.isStale || limit === 0 || source.head <= stream.position) return;
    const from = stream.position + 1;
    const read = this.broker.history(address, { fromSequence: from, limit });
    return andThen(read, (found) => this.pulled(source, found, from));
  }

  private pulled(source: Source, found: readonly StoredEvent[], from: number): void {
    const { stream } = source;
    // A seek moved the stream meanwhile: discard what was read.
    if (this.isOver || stream.position + 1 !== from || source.isStale) return;
    let length = 1;
    for (const { sequence, text } of found) {
      if (sequence > stream.position + 1) this.lose(source, sequence - 1);
      length += text.length;
      this.offer(source, sequence, text);
    }
    if (found.length === 0) source.isStale = true;
    else source.pull = Math.max(1, Math.min(MAX_READ, Math.floor((READ_LENGTH * found.length) / length)));
  }

  /** Checks the state of a stream, and applies the result. */
  private look(source: Source): Awaitable<void> {
    const { epoch } = source.stream;
    // Reset before the request: the response does not include what arrives meanwhile.
    source.isOld = false;
    source.isStale = false;
    source.seen = 0;
    return andThen(this.broker.state(source.address), (state) => this.looked(source, state, epoch));
  }

  /** @param asked the epoch that the group read at the time of the request */
  private looked(source: Source, { sequence, epoch, oldest }: StreamState, asked: string): void {
    const { stream } = source;
    if (this.isOver) return;
    if (epoch === '') throw new BusError('STORAGE_UNAVAILABLE', 'Nothing is known of the stream now.');
    // A seek moved the stream meanwhile: it is checked again.
    if (stream.epoch !== asked) return;
    const seen = epoch === asked ? source.seen : 0;
    if (stream.epoch === '') {
      // Events lost before the group knew the stream do not count as lost.
      this.ledger.seek(stream, oldest - 1, epoch);
    } else if (stream.epoch !== epoch) {
      const lost = Math.max(0, source.head - stream.position) + stream.untouched + oldest - 1;
      this.ledger.count('lost', lost);
      this.ledger.seek(stream, oldest - 1, epoch);
      // An epoch that ended before this node drove the group may have held more events than known.
      if (lost > 0 || !source.isKnown) this.events.onLost(stream.channel, lost);
    } else if (oldest > stream.position + 1) this.lose(source, oldest - 1);
    source.isKnown = true;
    source.head = Math.max(sequence, seen, stream.position);
  }

  private lose(source: Source, to: number): void {
    const lost = this.ledger.lose(source.stream, to);
    if (lost > 0) this.events.onLost(source.stream.channel, lost);
  }

  private fault(error: unknown): void {
    // A storage outage is already reported elsewhere.
    if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.events.onFault(error);
  }
}
