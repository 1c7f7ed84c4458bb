import { IDEMPOTENCE_WINDOW_MS, randomToken } from '@arqonbus/protocol';
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

/** Streams in SQLite: stored by the group, delivered after the commit, in the order accepted. */
export class SqliteBroker implements Broker {
  operations = 0;
  readonly #link: Link;
  readonly #writes: GroupCommit;
  readonly #now: () => number;
  readonly #deliver: EngineEvents['deliver'];
  readonly #recent: RecentIds;
  readonly #streams = new StreamMap<Stream>();
  #loaded = false;
  #streamCount = 0;
  #nextStream = 1;
  /** Publications under way, for duplicates that arrive before their first one is stored. */
  readonly #underway = new Map<string, Promise<Published>>();
  /** Streams that hold events which their members were never given. */
  readonly #gaps = new Set<Stream>();

  constructor(link: Link, writes: GroupCommit, now: () => number, deliver: EngineEvents['deliver']) {
    this.#link = link;
    this.#writes = writes;
    this.#now = now;
    this.#deliver = deliver;
    this.#recent = new RecentIds(now());
  }

  /** Takes over what the database holds. Until then every call is refused. */
  load({ streams, nextStream }: Opened): void {
    this.#loaded = true;
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

  get loaded(): boolean {
    return this.#loaded;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  publish(publication: Publication): Published | Promise<Published> {
    this.#begin();
    const { stream: to, draft, identity, retention } = publication;
    const stream = this.#open(to);
    const first = this.#recent.find(stream.id, identity, draft.id, this.#now());
    if (first >= 0) return { sequence: first, epoch: stream.epoch, stored: 'disk', delivered: 0, duplicate: true };
    const key = `${stream.id} ${draft.id} ${identity}`;
    const underway = this.#underway.get(key);
    if (underway !== undefined) return underway.then((result) => ({ ...result, delivered: 0, duplicate: true }));
    if (!this.#writes.healthy) throw this.#writes.refusal();
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
    for (const { key, reject } of events) {
      this.#underway.delete(key);
      reject(this.#writes.refusal());
    }
  }

  undelivered(stream: Stream): void {
    this.#gaps.add(stream);
  }

  /** Asked for once, when the storage is back. */
  takeGaps(): StreamAddress[] {
    const gaps = [...this.#gaps].filter((stream) => !stream.dropped).map(({ address }) => address);
    this.#gaps.clear();
    return gaps;
  }

  /** This node is the only one: every event is delivered to it, attached or not. */
  attach(): void {}

  detach(): void {}

  async state(address: StreamAddress): Promise<StreamState> {
    this.#begin();
    const { id, epoch } = this.#open(address);
    try {
      const state = await this.#link.call('state', { stream: id, now: this.#now() });
      return { epoch, ...(state ?? { sequence: 0, oldest: 1 }) };
    } catch (error) {
      throw this.#writes.failed(error);
    }
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

  streams(tenant: string, room?: string): StreamAddress[] {
    this.#begin();
    const found: StreamAddress[] = [];
    for (const { address, sequence } of this.#streams.list(tenant, room)) if (sequence > 0) found.push(address);
    return found;
  }

  async drop(address: StreamAddress): Promise<void> {
    this.#begin();
    const stream = this.#streams.get(address);
    if (stream === undefined) return;
    stream.dropped = true;
    this.#streams.delete(address);
    this.#streamCount -= 1;
    await this.#writes.drop(stream);
  }

  claim(key: string, windowMs: number): boolean {
    this.#begin();
    const now = this.#now();
    if (this.#recent.claim(CLAIMS, key, '', 0, now, windowMs) >= 0) return false;
    this.#writes.claimed([CLAIMS, key, '', 0, now + windowMs]);
    return true;
  }

  /** Gives back the memory of ids that lapsed. */
  sweep(): void {
    this.#recent.sweep(this.#now());
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
