import { IDEMPOTENCE_WINDOW_MS, randomToken, sealUnstored } from '@arqonbus/protocol';
import type {
  Broker,
  EngineEvents,
  HistoryQuery,
  Publication,
  Published,
  StoredEvent,
  StreamAddress,
  StreamState,
} from '../engine.ts';
import { RecentIds } from '../recent-ids.ts';
import { StreamMap } from '../stream-map.ts';
import type { PendingEvent, Stream } from './batch.ts';
import type { IdEntry, Opened } from './calls.ts';
import { type GroupCommit, tooFast } from './group-commit.ts';
import type { Link } from './link.ts';

const EPOCH_LENGTH = 10;
/** The scope of claimed keys among the recent ids; ids of streams count from 1. */
const CLAIMS = 0;

export type Mode = 'degraded' | 'strict';

/** Streams in SQLite: stored by the group, delivered after the commit, in the order accepted. */
export class SqliteBroker implements Broker {
  operations = 0;
  readonly #link: Link;
  readonly #writes: GroupCommit;
  readonly #mode: Mode;
  readonly #now: () => number;
  readonly #deliver: EngineEvents['deliver'];
  readonly #recent: RecentIds;
  readonly #streams = new StreamMap<Stream>();
  #streamCount = 0;
  #nextStream = 1;
  /** Publications under way, for duplicates that arrive before their first one is stored. */
  readonly #underway = new Map<string, Promise<Published>>();
  /** Streams whose members saw events that were not stored, or the other way round. */
  readonly #gaps = new Set<Stream>();

  constructor(link: Link, writes: GroupCommit, mode: Mode, now: () => number, deliver: EngineEvents['deliver']) {
    this.#link = link;
    this.#writes = writes;
    this.#mode = mode;
    this.#now = now;
    this.#deliver = deliver;
    this.#recent = new RecentIds(now());
  }

  /** Takes over what the database holds. */
  load({ streams, nextStream }: Opened): void {
    this.#nextStream = nextStream;
    for (const { id, tenant, room, channel, epoch, sequence, size, ttlMs, maxBytes } of streams) {
      const address = { tenant, room, channel };
      const retention = { size, ttlMs, ...(maxBytes === null ? {} : { bytes: maxBytes }) };
      this.#streams.set(address, { id, address, epoch, sequence, retention, dropped: false });
      this.#streamCount += 1;
    }
  }

  /** Takes over ids that the database remembers. */
  recall(entries: readonly IdEntry[]): void {
    const now = this.#now();
    for (const [scope, identity, id, sequence, until] of entries) {
      if (until >= now) this.#recent.claim(scope, identity, id, sequence, now, until - now);
    }
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  publish(publication: Publication): Published | Promise<Published> {
    this.operations += 1;
    const { stream: to, draft, identity, retention } = publication;
    const stream = this.#open(to);
    const first = this.#recent.find(stream.id, identity, draft.id, this.#now());
    if (first >= 0) {
      const stored = first === 0 ? 'none' : 'disk';
      return { sequence: first, epoch: stream.epoch, stored, delivered: 0, duplicate: true };
    }
    const key = `${stream.id} ${draft.id} ${identity}`;
    const underway = this.#underway.get(key);
    if (underway !== undefined) return underway.then((result) => ({ ...result, delivered: 0, duplicate: true }));
    if (!this.#writes.healthy) {
      if (this.#mode === 'strict') throw this.#writes.refusal();
      return this.#deliverUnstored({ stream, to, draft, identity });
    }
    if (this.#writes.isFull) throw tooFast();
    const published = new Promise<Published>((resolve, reject) => {
      this.#writes.append({ stream, to, draft, identity, retention, key, sequence: 0, text: '', resolve, reject });
    });
    this.#underway.set(key, published);
    return published;
  }

  /** The outcome of accepted events: they are on the disk. */
  stored(events: readonly PendingEvent[]): void {
    const now = this.#now();
    for (const { stream, to, draft, identity, key, sequence, text, resolve } of events) {
      const { id, from } = draft;
      this.#underway.delete(key);
      this.#recent.claim(stream.id, identity, id, sequence, now, IDEMPOTENCE_WINDOW_MS);
      const delivered = this.#deliver({ stream: to, sequence, id, from, text });
      resolve({ sequence, epoch: stream.epoch, stored: 'disk', delivered, duplicate: false });
    }
  }

  /** The outcome of accepted events: they will not be stored. */
  unstored(events: readonly PendingEvent[]): void {
    for (const event of events) {
      this.#underway.delete(event.key);
      if (this.#mode === 'strict') event.reject(this.#writes.refusal());
      else event.resolve(this.#deliverUnstored(event));
    }
  }

  /** The stream holds events that its members were never given. */
  undelivered(stream: Stream): void {
    this.#gaps.add(stream);
  }

  /** Streams whose members and whose storage do not hold the same; asked for once, when it is back. */
  takeGaps(): StreamAddress[] {
    const gaps = [...this.#gaps].filter((stream) => !stream.dropped).map(({ address }) => address);
    this.#gaps.clear();
    return gaps;
  }

  /** This node is the only one: every event is delivered to it, attached or not. */
  attach(): void {}

  detach(): void {}

  async state(address: StreamAddress): Promise<StreamState> {
    this.operations += 1;
    const stream = this.#open(address);
    const { id, epoch } = stream;
    try {
      const state = await this.#link.call('state', { stream: id, now: this.#now() });
      return { epoch, ...(state ?? { sequence: 0, oldest: 1 }) };
    } catch (error) {
      const reason = this.#writes.failed(error);
      if (this.#mode === 'strict') throw reason;
      return { epoch, sequence: stream.sequence, oldest: stream.sequence + 1 };
    }
  }

  async history(address: StreamAddress, query: HistoryQuery): Promise<StoredEvent[]> {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream === undefined) return [];
    try {
      return await this.#link.call('history', { stream: stream.id, query, now: this.#now() });
    } catch (error) {
      throw this.#writes.failed(error);
    }
  }

  streams(tenant: string, room?: string): StreamAddress[] {
    this.operations += 1;
    const found: StreamAddress[] = [];
    for (const { address, sequence } of this.#streams.list(tenant, room)) if (sequence > 0) found.push(address);
    return found;
  }

  async drop(address: StreamAddress): Promise<void> {
    this.operations += 1;
    const stream = this.#streams.get(address);
    if (stream === undefined) return;
    stream.dropped = true;
    this.#streams.delete(address);
    this.#streamCount -= 1;
    await this.#writes.drop(stream);
  }

  claim(key: string, windowMs: number): boolean {
    this.operations += 1;
    const now = this.#now();
    if (this.#recent.claim(CLAIMS, key, '', 0, now, windowMs) >= 0) return false;
    this.#writes.claimed([CLAIMS, key, '', 0, now + windowMs]);
    return true;
  }

  /** Gives back the memory of ids that lapsed. */
  sweep(): void {
    this.#recent.sweep(this.#now());
  }

  #deliverUnstored({
    stream,
    to,
    draft,
    identity,
  }: Pick<PendingEvent, 'stream' | 'to' | 'draft' | 'identity'>): Published {
    const { id, from } = draft;
    this.#gaps.add(stream);
    this.#recent.claim(stream.id, identity, id, 0, this.#now(), IDEMPOTENCE_WINDOW_MS);
    const delivered = this.#deliver({ stream: to, sequence: 0, id, from, text: sealUnstored(draft.open) });
    return { sequence: 0, epoch: stream.epoch, stored: 'none', delivered, duplicate: false };
  }

  #open(address: StreamAddress): Stream {
    const known = this.#streams.get(address);
    if (known !== undefined) return known;
    const { tenant, room, channel } = address;
    const stream: Stream = {
      id: this.#nextStream,
      // A copy: what a caller passes may be an object of its own that is more than an address, and lives less long.
      address: { tenant, room, channel },
      epoch: randomToken(EPOCH_LENGTH),
      sequence: 0,
      retention: { size: 0, ttlMs: 0 },
      dropped: false,
    };
    this.#nextStream += 1;
    this.#streams.set(address, stream);
    this.#streamCount += 1;
    this.#writes.opened(stream);
    return stream;
  }
}
