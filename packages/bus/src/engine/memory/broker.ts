import { IDEMPOTENCE_WINDOW_MS, randomToken, seal } from '@arqonbus/protocol';
import type {
  Broker,
  EngineEvents,
  HistoryQuery,
  Publication,
  Published,
  Retention,
  StoredEvent,
  StreamAddress,
  StreamState,
  StreamUsage,
} from '../engine.ts';
import { conflict, meets } from '../expectation.ts';
import { endOfRest, REST_MS } from '../rest.ts';
import { SentIds } from '../sent-ids.ts';
import { StreamMap } from '../stream-map.ts';
import { type Counted, HistoryBounds, type HistoryLimits, type TenantHistory } from './history-bounds.ts';
import { type Holdings, Ring } from './ring.ts';

/** Streams and events per sweep step, so that a step takes far less than a millisecond. */
const SWEEP_STREAMS = 1_000;
const SWEEP_EVENTS = 2_000;

/** Maximum characters counted per usage query, so that it takes a few milliseconds. */
const COUNTED_CHARACTERS = 1_048_576;

const EPOCH_LENGTH = 10;

class Stream implements Counted, StreamAddress {
  readonly room: string;
  readonly channel: string;
  /** Scopes its ids: a stream that is recreated after a drop has none of the old ones. */
  readonly scope: number;
  readonly epoch: string = randomToken(EPOCH_LENGTH);
  readonly ring: Ring;
  readonly home: TenantHistory;
  /** The id of its last event. */
  lastId: string | null = null;
  /** When it is forgotten. */
  until: number;
  counted = 0;
  weight = 0;
  place = -1;

  constructor(address: StreamAddress, scope: number, until: number, holdings: Holdings, home: TenantHistory) {
    // Copied, since the caller's object may hold more than an address and should not be kept alive.
    this.room = address.room;
    this.channel = address.channel;
    this.scope = scope;
    this.until = until;
    this.ring = new Ring(holdings);
    this.home = home;
  }

  get tenant(): string {
    return this.home.name;
  }
}

/**
 * Streams in this process's memory. Everything is answered synchronously, and a publication is delivered inside its
 * call: no promise, no lookup but the three maps of its address, no allocation but its text and its result.
 */
export class MemoryBroker implements Broker {
  readonly holdings: Holdings = { messages: 0, bytes: 0 };
  operations = 0;
  readonly #now: () => number;
  readonly #sent: SentIds;
  readonly #bounds: HistoryBounds;
  readonly #streams = new StreamMap<Stream>();
  #sweeping: Iterator<Stream> = this.#streams.values();
  #scopes = 0;
  #events: EngineEvents | undefined;

  /** `now` returns milliseconds since 1970, from a monotonic clock. */
  constructor(now: () => number, limits: HistoryLimits) {
    this.#now = now;
    this.#sent = new SentIds(now());
    this.#bounds = new HistoryBounds(limits);
  }

  open(events: EngineEvents): void {
    this.#events = events;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  publish(publication: Publication): Published {
    this.operations += 1;
    const { draft, identity, dedupeMs = IDEMPOTENCE_WINDOW_MS } = publication;
    const stream = this.#open(publication.stream);
    const { ring, epoch } = stream;
    const { firstSequence } = publication;
    if (firstSequence !== undefined && ring.sequence === 0) ring.sequence = firstSequence - 1;
    const sequence = ring.sequence + 1;
    const { id, from } = draft;
    const now = this.#now();
    if (publication.expect !== undefined) {
      const standing = { sequence: ring.sequence, epoch, lastId: stream.lastId };
      const isRepeated = dedupeMs > 0 && this.#sent.find(stream.scope, identity, id, now) >= 0;
      if (!isRepeated && !meets(publication.expect, standing)) throw conflict(standing);
    }
    const first = this.#sent.claim(stream.scope, identity, id, sequence, now, dedupeMs);
    if (first >= 0) return { sequence: first, epoch, stored: 'memory', delivered: 0, duplicate: true };
    stream.lastId = id;
    stream.until = endOfRest(now, publication.retention);
    const text = seal(draft.open, sequence, epoch);
    ring.append(draft.time, now, from, text, publication.retention);
    this.#bounds.note(stream);
    const delivered = this.#events?.deliver({ stream: publication.stream, sequence, id, from, text }) ?? 0;
    return { sequence, epoch, stored: 'memory', delivered, duplicate: false };
  }

  /** This is the only node: every event is delivered to it, attached or not. */
  attach(): void {}

  detach(): void {}

  state(address: StreamAddress): StreamState {
    this.operations += 1;
    const stream = this.#open(address);
    const { ring, epoch } = stream;
    const now = this.#now();
    stream.until = Math.max(stream.until, now + REST_MS);
    this.#expire(stream, now);
    return { sequence: ring.sequence, epoch, oldest: ring.oldest };
  }

  find(address: StreamAddress): StreamState | null {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream === undefined) return null;
    this.#expire(stream, this.#now());
    return { sequence: stream.ring.sequence, epoch: stream.epoch, oldest: stream.ring.oldest };
  }

  history(address: StreamAddress, query: HistoryQuery): StoredEvent[] {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream === undefined) return [];
    this.#expire(stream, this.#now());
    return stream.ring.history(query);
  }

  tenants(): string[] {
    this.operations += 1;
    return this.#streams.tenants();
  }

  retentionOf(address: StreamAddress): Retention | null {
    this.operations += 1;
    return this.#streams.get(address)?.ring.retention ?? null;
  }

  /** Texts not counted yet that would take too long to count now are reported by their characters. */
  usage(addresses: readonly StreamAddress[]): StreamUsage[] {
    this.operations += 1;
    const now = this.#now();
    let characters = COUNTED_CHARACTERS;
    return addresses.map((address) => {
      const stream = this.#streams.get(address);
      if (stream === undefined) return { sequence: 0, events: 0, bytes: 0 };
      const { ring } = stream;
      ring.expire(now);
      characters -= ring.measure(characters);
      this.#bounds.note(stream);
      return { sequence: ring.sequence, events: ring.length, bytes: ring.bytes };
    });
  }

  streams(tenant: string, room?: string): StreamAddress[] {
    this.operations += 1;
    const found: StreamAddress[] = [];
    for (const stream of this.#streams.list(tenant, room)) {
      if (stream.ring.sequence > 0) found.push({ tenant, room: stream.room, channel: stream.channel });
    }
    return found;
  }

  retain(address: StreamAddress, retention: Retention): void {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream === undefined) return;
    const now = this.#now();
    stream.ring.retain(now, retention);
    const { keepLast = false } = retention;
    stream.until = endOfRest(now, { ...retention, keepLast: keepLast && !stream.ring.isEmpty });
    this.#bounds.note(stream);
  }

  drop(address: StreamAddress): void {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream !== undefined) this.#forget(stream);
  }

  claim(key: string, windowMs: number): boolean {
    this.operations += 1;
    return this.#sent.mark(key, this.#now(), windowMs);
  }

  /** One small step, once a second, of removing expired events and idle streams and reporting events trimmed early. */
  sweep(): void {
    const now = this.#now();
    this.#sent.sweep(now);
    this.#sent.tell(now, (sentence) => this.#events?.warning?.(sentence));
    this.#bounds.tell(now, (state) => this.#events?.trimmed(state));
    let events = SWEEP_EVENTS;
    for (let step = 0; step < SWEEP_STREAMS && events > 0; step += 1) {
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = this.#streams.values();
        return;
      }
      events -= this.#expire(next.value, now, events);
      const stream = next.value;
      // Events meant to be kept indefinitely were evicted for lack of space.
      if (stream.until === Number.POSITIVE_INFINITY && stream.ring.isEmpty) stream.until = now + REST_MS;
      if (stream.until <= now) this.#forget(stream);
    }
  }

  #forget(stream: Stream): void {
    stream.ring.clear();
    this.#bounds.leave(stream);
    this.#streams.delete(stream);
  }

  #expire(stream: Stream, now: number, most?: number): number {
    const expired = stream.ring.expire(now, most);
    if (expired > 0) this.#bounds.note(stream);
    return expired;
  }

  #open(address: StreamAddress): Stream {
    return this.#streams.get(address) ?? this.#create(address);
  }

  #create(address: StreamAddress): Stream {
    this.#scopes += 1;
    const stream = new Stream(
      address,
      this.#scopes,
      this.#now() + REST_MS,
      this.holdings,
      this.#bounds.join(address.tenant),
    );
    this.#streams.set(address, stream);
    return stream;
  }
}
