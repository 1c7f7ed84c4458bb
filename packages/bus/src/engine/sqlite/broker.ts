import { BusError, IDEMPOTENCE_WINDOW_MS, randomToken } from '@arqonbus/protocol';
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
import { conflict } from '../expectation.ts';
import { endOfRest, REST_MS } from '../rest.ts';
import { SentIds } from '../sent-ids.ts';
import { StreamMap } from '../stream-map.ts';
import type { PendingEvent, Stream } from './batch.ts';
import type { IdEntry, Opened } from './calls.ts';
import { type GroupCommit, tooFast } from './group-commit.ts';
import type { Link } from './link.ts';

const EPOCH_LENGTH = 10;
/** The scope of claimed keys among the ids; stream scopes start at 1. */
const CLAIMS = 0;
/** An id that no stream has. */
const NO_STREAM = 0;
/** Streams per sweep step. */
const SWEEP_STREAMS = 1_000;

/** Streams in SQLite: stored by group commit, delivered after the commit, in the order accepted. */
export class SqliteBroker implements Broker {
  operations = 0;
  readonly #link: Link;
  readonly #writes: GroupCommit;
  readonly #now: () => number;
  readonly #deliver: EngineEvents['deliver'];
  readonly #warn: NonNullable<EngineEvents['warning']>;
  readonly #sent: SentIds;
  readonly #streams = new StreamMap<Stream>();
  readonly #all = new Set<Stream>();
  #sweeping: Iterator<Stream> = this.#all.values();
  #loaded = false;
  #nextStream = 1;
  /** Publications in progress, for duplicates that arrive before the first one is stored. */
  readonly #underway = new Map<string, Promise<Published>>();
  /** Streams with events that their members never received. */
  readonly #gaps = new Set<Stream>();

  constructor(
    link: Link,
    writes: GroupCommit,
    now: () => number,
    { deliver, warn }: { deliver: EngineEvents['deliver']; warn: NonNullable<EngineEvents['warning']> },
  ) {
    this.#link = link;
    this.#writes = writes;
    this.#now = now;
    this.#deliver = deliver;
    this.#warn = warn;
    this.#sent = new SentIds(now());
  }

  /** Loads the database's contents. Until then every call is rejected. */
  load({ streams, nextStream }: Opened): void {
    this.#loaded = true;
    this.#nextStream = nextStream;
    // Members from before the restart get time to come back.
    const soonest = this.#now() + REST_MS;
    for (const { tenant, room, channel, size, ttlMs, maxBytes, keepLast, ...row } of streams) {
      const { id, epoch, sequence, lastId } = row;
      const address = { tenant, room, channel };
      const bytes = maxBytes === null ? {} : { bytes: maxBytes };
      const retention = { size, ttlMs, ...bytes, keepLast: keepLast === 1 };
      const until = Math.max(row.until, soonest);
      this.#add({ id, address, epoch, sequence, lastId, until, retention, dropped: false });
    }
  }

  /** Loads remembered ids from the database. */
  recall(entries: readonly IdEntry[]): void {
    const now = this.#now();
    for (const [scope, identity, id, sequence, until] of entries) {
      if (until < now) continue;
      if (scope === CLAIMS) this.#sent.mark(identity, now, until - now);
      // At least a second, so that an id expiring right now is still found.
      else this.#sent.claim(scope, identity, id, sequence, now, Math.max(1, until - now));
    }
  }

  get loaded(): boolean {
    return this.#loaded;
  }

  get streamCount(): number {
    return this.#all.size;
  }

  publish(publication: Publication): Published | Promise<Published> {
    this.#begin();
    const { stream: to, draft, identity, retention, dedupeMs = IDEMPOTENCE_WINDOW_MS } = publication;
    const { expect, firstSequence = 1 } = publication;
    const stream = this.#open(to);
    const now = this.#now();
    const isUnique = dedupeMs <= 0;
    const first = isUnique ? -1 : this.#sent.find(stream.id, identity, draft.id, now);
    if (first >= 0) return { sequence: first, epoch: stream.epoch, stored: 'disk', delivered: 0, duplicate: true };
    const key = isUnique ? '' : `${stream.id} ${draft.id} ${identity}`;
    const underway = this.#underway.get(key);
    if (underway !== undefined) {
      // A publication rejected for its expectation is not the first one.
      return underway.then(
        ({ sequence, epoch, stored }) => ({ sequence, epoch, stored, delivered: 0, duplicate: true }),
        (error) => (isConflict(error) ? this.publish(publication) : Promise.reject(error)),
      );
    }
    if (!this.#writes.healthy) throw this.#writes.refusal();
    if (this.#writes.isFull) throw tooFast();
    stream.until = endOfRest(now, retention);
    const published = new Promise<Published>((resolve, reject) => {
      const given = { draft, identity, retention, dedupeMs, expect, firstSequence };
      const outcome = { sequence: 0, text: '', refusedAt: null, sequenceBefore: 0, idBefore: null };
      this.#writes.append({ stream, to, key, resolve, reject, ...given, ...outcome });
    });
    if (!isUnique) this.#underway.set(key, published);
    return published;
  }

  /** The outcome of accepted events: they are on disk. */
  stored(events: readonly PendingEvent[]): void {
    const now = this.#now();
    for (const event of events) {
      const { stream, to, draft, identity, dedupeMs, key, sequence, text, refusedAt, resolve, reject } = event;
      const { id, from } = draft;
      this.#underway.delete(key);
      if (refusedAt !== null) {
        reject(conflict(refusedAt));
        continue;
      }
      this.#sent.claim(stream.id, identity, id, sequence, now, dedupeMs);
      const delivered = this.#deliver({ stream: to, sequence, id, from, text });
      resolve({ sequence, epoch: stream.epoch, stored: 'disk', delivered, duplicate: false });
    }
  }

  /** The outcome of accepted events: they will not be stored. */
  unstored(events: readonly PendingEvent[]): void {
    for (const { key, reject } of events) {
      this.#underway.delete(key);
      reject(this.#writes.refusal());
    }
  }

  undelivered(stream: Stream): void {
    this.#gaps.add(stream);
  }

  /** Called once, when the storage is back. */
  takeGaps(): StreamAddress[] {
    const gaps = [...this.#gaps].filter((stream) => !stream.dropped).map(({ address }) => address);
    this.#gaps.clear();
    return gaps;
  }

  /** This is the only node: every event is delivered to it, attached or not. */
  attach(): void {}

  detach(): void {}

  async state(address: StreamAddress): Promise<StreamState> {
    this.#begin();
    const stream = this.#open(address);
    stream.until = Math.max(stream.until, this.#now() + REST_MS);
    return this.#stateOf(stream);
  }

  async find(address: StreamAddress): Promise<StreamState | null> {
    this.#begin();
    const stream = this.#streams.get(address);
    return stream === undefined ? null : this.#stateOf(stream);
  }

  async history(address: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    this.#begin();
    const stream = this.#streams.get(address);
    if (stream === undefined) return [];
    try {
      return await this.#link.call('history', { stream: stream.id, query, now: this.#now() });
    } catch (error) {
      throw this.#writes.failed(error);
    }
  }

  tenants(): string[] {
    this.#begin();
    return this.#streams.tenants();
  }

  retentionOf(address: StreamAddress): Retention | null {
    this.#begin();
    return this.#streams.get(address)?.retention ?? null;
  }

  async usage(addresses: readonly StreamAddress[]): Promise<StreamUsage[]> {
    this.#begin();
    const ids = addresses.map((address) => this.#streams.get(address)?.id ?? NO_STREAM);
    try {
      const usages = await this.#link.call('usage', { streams: ids, now: this.#now() });
      return usages.map((usage) => usage ?? { sequence: 0, events: 0, bytes: 0 });
    } catch (error) {
      throw this.#writes.failed(error);
    }
  }

  streams(tenant: string, room?: string): StreamAddress[] {
    this.#begin();
    const found: StreamAddress[] = [];
    for (const { address, sequence } of this.#streams.list(tenant, room)) if (sequence > 0) found.push(address);
    return found;
  }

  async retain(address: StreamAddress, retention: Retention): Promise<void> {
    this.#begin();
    const stream = this.#streams.get(address);
    if (stream === undefined) return;
    await this.#writes.retain(stream, retention);
    const { sequence, oldest } = await this.#stateOf(stream);
    const holdsLast = oldest <= sequence;
    stream.until = endOfRest(this.#now(), holdsLast ? retention : { ...retention, keepLast: false });
    this.#writes.opened(stream);
  }

  async drop(address: StreamAddress): Promise<void> {
    this.#begin();
    const stream = this.#streams.get(address);
    if (stream !== undefined) await this.#forget(stream);
  }

  claim(key: string, windowMs: number): boolean {
    this.#begin();
    const now = this.#now();
    if (!this.#sent.mark(key, now, windowMs)) return false;
    this.#writes.claimed([CLAIMS, key, '', 0, now + windowMs]);
    return true;
  }

  /** One small step of removing expired ids and idle streams. */
  sweep(): void {
    const now = this.#now();
    this.#sent.sweep(now);
    this.#sent.tell(now, this.#warn);
    for (let step = 0; step < SWEEP_STREAMS; step += 1) {
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#sweeping = this.#all.values();
        return;
      }
      if (next.value.until <= now) void this.#forget(next.value);
    }
  }

  /** Resolves when the stream is gone from the disk. */
  #forget(stream: Stream): Promise<void> {
    stream.dropped = true;
    this.#streams.delete(stream.address);
    this.#all.delete(stream);
    return this.#writes.drop(stream);
  }

  #begin(): void {
    this.operations += 1;
    if (!this.#loaded) throw this.#writes.refusal();
  }

  #open(address: StreamAddress): Stream {
    const known = this.#streams.get(address);
    if (known !== undefined) return known;
    const { tenant, room, channel } = address;
    const stream: Stream = {
      id: this.#nextStream,
      // A copy, since the caller's object may hold more than an address and should not be kept alive.
      address: { tenant, room, channel },
      epoch: randomToken(EPOCH_LENGTH),
      sequence: 0,
      lastId: null,
      until: this.#now() + REST_MS,
      retention: { size: 0, ttlMs: 0 },
      dropped: false,
    };
    this.#nextStream += 1;
    this.#add(stream);
    this.#writes.opened(stream);
    return stream;
  }
  async #stateOf({ id, epoch }: Stream): Promise<StreamState> {
    try {
      const state = await this.#link.call('state', { stream: id, now: this.#now() });
      return { epoch, ...(state ?? { sequence: 0, oldest: 1 }) };
    } catch (error) {
      throw this.#writes.failed(error);
    }
  }

  #add(stream: Stream): void {
    this.#streams.set(stream.address, stream);
    this.#all.add(stream);
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof BusError && error.code === 'CONFLICT';
}
