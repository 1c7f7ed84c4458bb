import { setTimeout as pause } from 'node:timers/promises';
import { BusError, IDEMPOTENCE_WINDOW_MS, randomToken, sealUnstored } from '@arqonbus/protocol';
import type {
  Awaitable,
  Broker,
  Durability,
  Engine,
  EngineEvents,
  HistoryQuery,
  KeyChange,
  Presence,
  Publication,
  Published,
  Retention,
  StoredEvent,
  StreamAddress,
  StreamEvent,
  StreamState,
  StreamUsage,
} from './engine.ts';
import { RecentIds } from './recent-ids.ts';
import { StreamMap } from './stream-map.ts';

const MOST_IDS = 1_000_000;
const MOST_STREAMS = 100_000;
/** The scope of claimed keys; stream scopes start at 1. */
const CLAIMS = 0;
/** The key-value space in which nodes record which streams have a gap, and how long the records are kept. */
const GAPS = 'history_gap';
const GAPS_TTL_MS = 86_400_000;
const STREAMS_PER_KEY = 500;
const NOTE_AGAIN_MS = 1_000;

export interface DegradedOptions {
  /** A monotonic clock in milliseconds; the process's by default. */
  readonly now?: () => number;
  /** Maximum number of stored ids, of live ids and of claims; beyond it the older half is dropped. 1,000,000. */
  readonly mostIds?: number;
  /** Maximum number of streams remembered; beyond it all are forgotten, including their ids. 100,000. */
  readonly mostStreams?: number;
}

/** What this node knows about a stream. */
interface Known {
  readonly stream: StreamAddress;
  /** Identifies the stream among the remembered ids. */
  readonly scope: number;
  epoch: string;
}

/**
 * Adds degraded mode to any engine. It opens even if the backend cannot be reached. While the backend is unavailable,
 * events are delivered to this node's members immediately, without a sequence and without being stored; an id that this
 * node knows as stored or delivered is a duplicate; claims hold on this node only. When the backend is back the streams
 * continue where they were, and members of streams that had such events are notified of a gap, on every node.
 */
export function degraded(engine: Engine, options: DegradedOptions = {}): Engine {
  const { backend, store, presence } = engine;
  const broker = new DegradedBroker(engine, options);
  return {
    backend,
    broker,
    store,
    presence: presence === null ? null : aloneWhileAway(presence),
    get warnings() {
      return engine.warnings ?? [];
    },
    open: (events) => broker.open(events),
    healthy: () => engine.healthy(),
    stats: () => engine.stats(),
    close: () => broker.close(),
  };
}

class DegradedBroker implements Broker {
  readonly reached?: NonNullable<Broker['reached']>;
  readonly #engine: Engine;
  readonly #broker: Broker;
  readonly #now: () => number;
  readonly #mostStreams: number;
  /** No other node shares this backend. */
  readonly #isAlone: boolean;
  /** Prefix of this node's gap notes. */
  readonly #self = randomToken(12);
  #streams = new StreamMap<Known>();
  readonly #stored: IdMemory;
  readonly #live: IdMemory;
  readonly #claims: IdMemory;
  #streamCount = 0;
  #noteCount = 0;
  /** Until when an id may be remembered as live; 0 when there is none. */
  #liveUntil = 0;
  #durability: Durability = 'memory';
  /** Streams that had live events; local members are notified when the backend is back. */
  readonly #gaps = new Set<Known>();
  /** Reported to local members, but not yet noted for the other nodes. */
  readonly #unnoted = new Set<Known>();
  #noting = false;
  /** Rooms attached while the backend was unavailable. */
  readonly #late = new Map<string, { readonly tenant: string; readonly room: string }>();
  #events: EngineEvents | undefined;
  #closed = false;

  constructor(engine: Engine, options: DegradedOptions) {
    const { now = () => performance.now(), mostIds = MOST_IDS, mostStreams = MOST_STREAMS } = options;
    this.#engine = engine;
    this.#broker = engine.broker;
    this.#now = now;
    this.#mostStreams = mostStreams;
    this.#isAlone = engine.presence === null;
    this.#stored = new IdMemory(now, mostIds);
    this.#live = new IdMemory(now, mostIds);
    this.#claims = new IdMemory(now, mostIds);
    if (engine.broker.reached !== undefined) this.reached = engine.broker.reached.bind(engine.broker);
  }

  async open(events: EngineEvents): Promise<void> {
    this.#events = events;
    if (!this.#isAlone) this.#engine.store.watch(GAPS, (change) => this.#readNote(change));
    try {
      await this.#engine.open({
        deliver: (event) => this.#deliver(event),
        receive: (message) => events.receive(message),
        health: (state) => {
          if (state.healthy) this.#recover();
          events.health(state);
        },
        historyGap: (stream) => events.historyGap(stream),
        gap: (...told) => events.gap(...told),
        trimmed: (state) => events.trimmed(state),
        warning: (sentence) => events.warning?.(sentence),
      });
    } catch (error) {
      if (!isAway(error)) throw error;
      events.health({ healthy: false, reason: error.message });
    }
  }

  /** After this nothing is accepted, not even for live delivery. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#engine.close();
  }

  publish(publication: Publication): Awaitable<Published> {
    // An event delivered live is not stored later. If another node stored it, the engine knows its sequence.
    const repeated = this.#liveUntil > 0 ? this.#repeated(publication) : null;
    if (repeated?.stored === 'none') return repeated;
    let published: Awaitable<Published>;
    try {
      published = this.#broker.publish(publication);
    } catch (error) {
      if (!isAway(error) || this.#engine.healthy()) throw error;
      // Asynchronous: publications in flight that are being rejected come first.
      published = Promise.reject(error);
    }
    if (!(published instanceof Promise)) return this.#remember(publication, published);
    return published.then(
      (answer) => this.#remember(publication, answer),
      (error) => {
        if (this.#closed || !isAway(error)) throw error;
        const known = this.#repeated(publication);
        if (known !== null) return known;
        // The stream's position is unknown now, and a live event does not advance it.
        if (publication.expect !== undefined) throw error;
        return this.#goLive(publication);
      },
    );
  }

  attach(tenant: string, room: string): Promise<void> {
    return unlessAway(
      () => this.#broker.attach(tenant, room),
      () => void this.#late.set(`${tenant}/${room}`, { tenant, room }),
    );
  }

  detach(tenant: string, room: string): void {
    this.#late.delete(`${tenant}/${room}`);
    this.#broker.detach(tenant, room);
  }

  /** While the backend is unavailable nothing is known of a stream: it has no epoch, and nothing is kept. */
  state(stream: StreamAddress): Promise<StreamState> {
    return unlessAway(
      async () => {
        const state = await this.#broker.state(stream);
        this.#known(stream).epoch = state.epoch;
        return state;
      },
      () => ({ sequence: 0, epoch: '', oldest: 1 }),
    );
  }

  find(stream: StreamAddress): Awaitable<StreamState | null> {
    return this.#broker.find(stream);
  }

  history(stream: StreamAddress, query: HistoryQuery): Awaitable<StoredEvent[]> {
    return this.#broker.history(stream, query);
  }

  streams(tenant: string, room?: string): Awaitable<StreamAddress[]> {
    return this.#broker.streams(tenant, room);
  }

  tenants(): Awaitable<string[]> {
    return this.#broker.tenants();
  }

  retentionOf(stream: StreamAddress): Awaitable<Retention | null> {
    return this.#broker.retentionOf(stream);
  }

  usage(streams: readonly StreamAddress[]): Awaitable<StreamUsage[]> {
    return this.#broker.usage(streams);
  }

  retain(stream: StreamAddress, retention: Retention): Awaitable<void> {
    return this.#broker.retain(stream, retention);
  }

  async drop(stream: StreamAddress): Promise<void> {
    await this.#broker.drop(stream);
    const known = this.#streams.get(stream);
    if (known !== undefined) this.#gaps.delete(known);
    this.#streams.delete(stream);
  }

  async claim(key: string, windowMs: number): Promise<boolean> {
    if (this.#claims.find(CLAIMS, key, '') >= 0) return false;
    const claimHere = (): boolean => this.#claims.add(CLAIMS, key, '', 0, windowMs);
    return unlessAway(async () => {
      const isFirst = await this.#broker.claim(key, windowMs);
      claimHere();
      return isFirst;
    }, claimHere);
  }

  /** Forwards what the engine delivers, except events that members already received live. */
  #deliver(event: StreamEvent): number {
    const { stream, identity, id, sequence } = event;
    if (identity !== undefined) {
      const { scope } = this.#known(stream);
      this.#stored.add(scope, identity, id, sequence);
      if (this.#liveUntil > 0 && this.#live.find(scope, identity, id) >= 0) return 0;
    }
    return this.#events?.deliver(event) ?? 0;
  }

  /** The backend is back: notifies members that missed something, or may have. */
  #recover(): void {
    for (const [key, { tenant, room }] of this.#late) {
      const follow = async (): Promise<void> => this.#broker.attach(tenant, room);
      const tell = (): unknown => this.#late.delete(key) && this.#events?.gap(tenant, room);
      // If rejected again, it is retried at the next recovery.
      follow().then(tell, () => {});
    }
    for (const known of this.#gaps) {
      this.#gaps.delete(known);
      this.#events?.historyGap(known.stream);
      if (!this.#isAlone) this.#unnoted.add(known);
    }
    if (!this.#noting) void this.#noteGaps();
  }

  /** The answer to a repeated publication; null if it is not a repeat. */
  #repeated({ stream, draft, identity, dedupeMs }: Publication): Published | null {
    if (dedupeMs === 0) return null;
    const known = this.#streams.get(stream);
    if (known === undefined) return null;
    const answer = { epoch: this.#epoch(known), delivered: 0, duplicate: true };
    const sequence = this.#stored.find(known.scope, identity, draft.id);
    if (sequence > 0) return { ...answer, sequence, stored: this.#durability };
    return this.#live.find(known.scope, identity, draft.id) < 0 ? null : { ...answer, sequence: 0, stored: 'none' };
  }

  #goLive({ stream, draft, identity, dedupeMs = IDEMPOTENCE_WINDOW_MS }: Publication): Published {
    const { id, from, open } = draft;
    const known = this.#known(stream);
    if (dedupeMs > 0) {
      this.#live.add(known.scope, identity, id, 0, dedupeMs);
      this.#liveUntil = Math.max(this.#liveUntil, this.#now() + dedupeMs);
    }
    this.#gaps.add(known);
    const delivered = this.#events?.deliver({ stream, sequence: 0, id, from, text: sealUnstored(open) }) ?? 0;
    // The backend may have come back since the rejection.
    if (this.#engine.healthy()) this.#recover();
    return { sequence: 0, epoch: this.#epoch(known), stored: 'none', delivered, duplicate: false };
  }

  #remember(
    { stream, draft, identity, dedupeMs = IDEMPOTENCE_WINDOW_MS }: Publication,
    published: Published,
  ): Published {
    const known = this.#known(stream);
    known.epoch = published.epoch;
    this.#durability = published.stored;
    // A delivered event was remembered in `#deliver`; a single-node engine remembers the ids that it stored.
    if (!this.#isAlone && dedupeMs > 0 && (published.delivered === 0 || dedupeMs !== IDEMPOTENCE_WINDOW_MS)) {
      this.#stored.put(known.scope, identity, draft.id, published.sequence, dedupeMs);
    }
    if (this.#liveUntil > 0 && this.#now() > this.#liveUntil) this.#liveUntil = 0;
    return published;
  }

  #epoch({ stream, epoch }: Known): string {
    return this.reached?.(stream).epoch || epoch;
  }

  #known(address: StreamAddress): Known {
    const known = this.#streams.get(address);
    if (known !== undefined) return known;
    if (this.#streamCount % this.#mostStreams === 0) this.#streams = new StreamMap();
    this.#streamCount += 1;
    const { tenant, room, channel } = address;
    // A copy, so that the message the name was sliced from is not kept alive.
    const stream = { tenant, room, channel: Buffer.from(channel).toString() };
    const fresh = { stream, scope: this.#streamCount, epoch: '' };
    this.#streams.set(stream, fresh);
    return fresh;
  }

  /** Writes the gaps to the store, whose watchers are notified at once; offline nodes see them when back. */
  async #noteGaps(): Promise<void> {
    this.#noting = true;
    while (this.#unnoted.size > 0 && !this.#closed) {
      const all = [...this.#unnoted];
      const { tenant } = all[0]!.stream;
      const some = all.filter(({ stream }) => stream.tenant === tenant).slice(0, STREAMS_PER_KEY);
      for (const known of some) this.#unnoted.delete(known);
      this.#noteCount += 1;
      const key = `${this.#self}-${this.#noteCount}`;
      const note = some.map(({ stream }) => `${stream.room} ${stream.channel}`).join('\n');
      try {
        await this.#engine.store.set({ tenant, space: GAPS, namespace: '' }, key, note, { ttlMs: GAPS_TTL_MS });
      } catch {
        for (const known of some) this.#unnoted.add(known);
        await pause(NOTE_AGAIN_MS, undefined, { ref: false });
      }
    }
    this.#noting = false;
  }

  #readNote({ at, key, value }: KeyChange): void {
    if (value === null || key.startsWith(this.#self)) return;
    for (const line of value.split('\n')) {
      const [room = '', channel = ''] = line.split(' ');
      this.#events?.historyGap({ tenant: at.tenant, room, channel });
    }
  }
}

/** Ids with a number each, remembered as by {@link RecentIds}, but at most `most`. */
class IdMemory {
  readonly #now: () => number;
  readonly #most: number;
  #young: RecentIds;
  #old: RecentIds | null = null;
  #count = 0;

  constructor(now: () => number, most: number) {
    this.#now = now;
    this.#most = most;
    this.#young = new RecentIds(now());
  }

  /** The number remembered with an id, -1 if it is unknown. */
  find(scope: number, identity: string, id: string): number {
    const now = this.#now();
    const value = this.#young.find(scope, identity, id, now);
    return value >= 0 || this.#old === null ? value : this.#old.find(scope, identity, id, now);
  }

  /** Remembers an id for at least this long, whether or not it is already known. */
  put(scope: number, identity: string, id: string, value: number, windowMs: number): void {
    const now = this.#now();
    if (!this.add(scope, identity, id, value, windowMs)) this.#young.extend(scope, identity, id, now, windowMs);
  }

  /** Remembers an id; returns false if it is already known. */
  add(scope: number, identity: string, id: string, value: number, windowMs = IDEMPOTENCE_WINDOW_MS): boolean {
    const now = this.#now();
    if (this.#young.claim(scope, identity, id, value, now, windowMs) >= 0) return false;
    this.#count += 1;
    if (this.#count % 1_024 === 0) this.#young.sweep(now);
    if (this.#count < this.#most / 2) return true;
    this.#old = this.#young;
    this.#young = new RecentIds(now);
    this.#count = 0;
    return true;
  }
}

/** While the backend is unavailable no other clients are visible. */
function aloneWhileAway(presence: Presence): Presence {
  const none = (): [] => [];
  return {
    announce: (entry) => presence.announce(entry),
    withdraw: (tenant, clientId) => presence.withdraw(tenant, clientId),
    find: (tenant, target) => unlessAway(() => presence.find(tenant, target), none),
    list: (tenant, room, channel) => unlessAway(() => presence.list(tenant, room, channel), none),
    send: (node, message) => {
      const send = (): Awaitable<void> => presence.send(node, message);
      return node === null ? unlessAway(send, () => {}) : send();
    },
    report: (status) => unlessAway(() => presence.report(status), none),
  };
}

function isAway(error: unknown): error is BusError {
  return error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE';
}

async function unlessAway<T>(ask: () => Awaitable<T>, otherwise: () => T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (isAway(error)) return otherwise();
    throw error;
  }
}
