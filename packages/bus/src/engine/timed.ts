import type {
  Awaitable,
  Broker,
  Engine,
  EngineEvents,
  EngineStats,
  KeyChange,
  KeySpace,
  KeyValueStore,
  Presence,
  Publication,
  SetOptions,
  StreamAddress,
} from './engine.ts';

/** Receives the duration of a backend operation in seconds, whether or not it succeeded. */
export type ObserveOperation = (operation: string, seconds: number) => void;

/**
 * Wraps the engine to time its stream and key operations. The memory engine is returned unchanged: it has no backend,
 * and the clock would cost more than what it measures.
 */
export function timeEngine(engine: Engine, observe: ObserveOperation): Engine {
  const isHere = engine.backend === 'memory' && engine.presence === null;
  return isHere ? engine : new TimedEngine(engine, observe);
}

class TimedEngine implements Engine {
  readonly backend: Engine['backend'];
  readonly presence: Presence | null;
  readonly broker: Broker;
  readonly store: KeyValueStore;
  private readonly engine: Engine;

  constructor(engine: Engine, observe: ObserveOperation) {
    this.engine = engine;
    this.backend = engine.backend;
    this.presence = engine.presence;
    this.broker = timeBroker(engine.broker, observe);
    this.store = timeStore(engine.store, observe);
  }

  get warnings(): readonly string[] {
    return this.engine.warnings ?? [];
  }

  open(events: EngineEvents): Promise<void> {
    return this.engine.open(events);
  }

  healthy(): boolean {
    return this.engine.healthy();
  }

  stats(): Awaitable<EngineStats> {
    return this.engine.stats();
  }

  close(): Promise<void> {
    return this.engine.close();
  }
}

function timeBroker(broker: Broker, observe: ObserveOperation): Broker {
  return {
    publish: (publication: Publication) => timed('publish', observe, () => broker.publish(publication)),
    attach: (tenant, room) => timed('attach', observe, () => broker.attach(tenant, room)),
    detach: (tenant, room) => broker.detach(tenant, room),
    state: (stream: StreamAddress) => timed('state', observe, () => broker.state(stream)),
    find: (stream: StreamAddress) => timed('find', observe, () => broker.find(stream)),
    ...(broker.reached === undefined ? {} : { reached: broker.reached.bind(broker) }),
    history: (stream, query) => timed('history', observe, () => broker.history(stream, query)),
    streams: (tenant, room) => timed('streams', observe, () => broker.streams(tenant, room)),
    tenants: () => timed('stream_tenants', observe, () => broker.tenants()),
    retentionOf: (stream) => timed('retention', observe, () => broker.retentionOf(stream)),
    usage: (streams) => timed('usage', observe, () => broker.usage(streams)),
    retain: (stream, retention) => timed('retain', observe, () => broker.retain(stream, retention)),
    drop: (stream: StreamAddress) => timed('drop', observe, () => broker.drop(stream)),
    claim: (key, windowMs) => timed('claim', observe, () => broker.claim(key, windowMs)),
  };
}

function timeStore(store: KeyValueStore, observe: ObserveOperation): KeyValueStore {
  return {
    get: (at: KeySpace, key) => timed('get', observe, () => store.get(at, key)),
    set: (at, key, value, options?: SetOptions) => timed('set', observe, () => store.set(at, key, value, options)),
    delete: (at, key, ifVersion) => timed('delete', observe, () => store.delete(at, key, ifVersion)),
    list: (at, query) => timed('list', observe, () => store.list(at, query)),
    spaces: () => timed('spaces', observe, () => store.spaces()),
    tenants: (space) => timed('tenants', observe, () => store.tenants(space)),
    watch: (space, onChange: (change: KeyChange) => void) => store.watch(space, onChange),
  };
}

function timed<T>(operation: string, observe: ObserveOperation, run: () => Awaitable<T>): Awaitable<T> {
  const began = performance.now();
  const end = (): void => observe(operation, (performance.now() - began) / 1000);
  let result: Awaitable<T>;
  try {
    result = run();
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) result.then(end, end);
  else end();
  return result;
}
