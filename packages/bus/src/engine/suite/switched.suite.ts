import { BusError } from '@arqonbus/protocol';
import type {
  Awaitable,
  Broker,
  Engine,
  EngineEvents,
  KeyChange,
  KeyValueStore,
  Presence,
  PresenceEntry,
  Publication,
  Published,
  StreamEvent,
} from '../engine.ts';
import { createMemoryEngine } from '../memory/memory.ts';

/** A backend in memory that several nodes share, and which each of them can be cut off from. */
export class SharedBackend {
  readonly engine: Engine = createMemoryEngine();
  readonly nodes: Set<SwitchedEngine> = new Set();

  async open(): Promise<this> {
    await this.engine.open({
      deliver: () => 0,
      receive() {},
      health() {},
      historyGap() {},
      gap() {},
      trimmed() {},
    });
    return this;
  }

  /** Stores an event and hands it to every node; to one that is cut off, when it is back. */
  async publish(publication: Publication, by: SwitchedEngine): Promise<Published> {
    const published = await this.engine.broker.publish(publication);
    if (published.duplicate) return published;
    const { stream, draft, identity } = publication;
    const { id, from, open } = draft;
    const event = { stream, sequence: published.sequence, id, from, identity, text: open };
    let delivered = 0;
    for (const node of this.nodes) {
      const count = node.arrive(event);
      if (node === by) delivered = count;
    }
    return { ...published, delivered };
  }
}

interface Held {
  readonly publication: Publication;
  resolve(published: Promise<Published>): void;
  reject(error: Error): void;
}

/** A strict engine on a {@link SharedBackend}, whose line to it a test switches off and on. */
export class SwitchedEngine implements Engine {
  readonly backend = 'redis';
  readonly broker: Broker;
  readonly store: KeyValueStore;
  readonly presence: Presence | null;
  /** Nothing comes of publications until the line is cut. */
  isHeld = false;
  /** The backend is there, and says that it has too much to do. */
  isBusy = false;
  private readonly shared: SharedBackend;
  private isAway: boolean;
  private events: EngineEvents | null = null;
  private held: Held[] = [];
  private missed: (() => void)[] = [];
  private readonly attached: Set<string> = new Set();

  constructor(shared: SharedBackend, options: { away?: boolean; alone?: boolean } = {}) {
    this.shared = shared;
    this.isAway = options.away ?? false;
    shared.nodes.add(this);
    const { broker, store } = shared.engine;
    const asked = <T>(ask: () => Awaitable<T>): Awaitable<T> => {
      if (this.isAway) throw away();
      return ask();
    };
    this.broker = {
      publish: (publication) => this.publish(publication),
      attach: (tenant, room) => {
        this.attached.add(`${tenant}/${room}`);
        return asked(() => {});
      },
      detach: (tenant, room) => void this.attached.delete(`${tenant}/${room}`),
      state: (stream) => asked(() => broker.state(stream)),
      find: (stream) => asked(() => broker.find(stream)),
      history: (stream, query) => asked(() => broker.history(stream, query)),
      streams: (tenant, room) => asked(() => broker.streams(tenant, room)),
      tenants: () => asked(() => broker.tenants()),
      retentionOf: (stream) => asked(() => broker.retentionOf(stream)),
      usage: (streams) => asked(() => broker.usage(streams)),
      retain: (stream, retention) => asked(() => broker.retain(stream, retention)),
      drop: (stream) => asked(() => broker.drop(stream)),
      claim: (key, windowMs) => asked(() => broker.claim(key, windowMs)),
    };
    this.store = {
      get: (at, key) => asked(() => store.get(at, key)),
      set: (at, key, value, set) => asked(() => store.set(at, key, value, set)),
      delete: (at, key, ifVersion) => asked(() => store.delete(at, key, ifVersion)),
      list: (at, query) => asked(() => store.list(at, query)),
      spaces: () => asked(() => store.spaces()),
      tenants: (space) => asked(() => store.tenants(space)),
      watch: (space, onChange) => store.watch(space, (change: KeyChange) => this.whenBack(() => onChange(change))),
    };
    const nobody = (): Awaitable<PresenceEntry[]> => asked(() => []);
    const presence: Presence = {
      announce() {},
      withdraw() {},
      find: nobody,
      list: nobody,
      send: () => asked(() => {}),
      report: () => asked(() => []),
    };
    this.presence = options.alone === true ? null : presence;
  }

  async open(events: EngineEvents): Promise<void> {
    this.events = events;
    if (this.isAway) throw away();
  }

  healthy(): boolean {
    return !this.isAway;
  }

  stats(): ReturnType<Engine['stats']> {
    return this.shared.engine.stats();
  }

  async close(): Promise<void> {
    this.isAway = true;
    this.rejectHeld();
  }

  /** Cuts the line. `stored`: what was under way reached the backend all the same, and only its answer is lost. */
  async leave(stored = false): Promise<void> {
    const underWay = this.held.map(({ publication }) => publication);
    this.isAway = true;
    this.rejectHeld();
    this.events?.health({ healthy: false, reason: 'away' });
    if (stored) for (const publication of underWay) await this.shared.publish(publication, this);
  }

  /** Mends the line: what was missed comes, then it is told. */
  comeBack(): void {
    this.isAway = false;
    this.isHeld = false;
    for (const tell of this.missed.splice(0)) tell();
    this.events?.health({ healthy: true, reason: 'back' });
  }

  arrive(event: StreamEvent): number {
    let count = 0;
    this.whenBack(() => {
      count = this.events?.deliver(event) ?? 0;
    });
    return count;
  }

  private publish(publication: Publication): Promise<Published> {
    if (this.isAway) throw away();
    if (this.isBusy) throw new BusError('STORAGE_UNAVAILABLE', 'too busy');
    if (!this.isHeld) return this.shared.publish(publication, this);
    return new Promise((resolve, reject) => this.held.push({ publication, resolve, reject }));
  }

  private rejectHeld(): void {
    for (const { reject } of this.held.splice(0)) reject(away());
  }

  private whenBack(tell: () => void): void {
    if (this.isAway) this.missed.push(tell);
    else tell();
  }
}

function away(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'The backend is away.');
}
