import type { Clock } from '../clock.ts';
import type {
  Engine,
  EngineEvents,
  KeyValueStore,
  Presence,
  Published,
  StreamAddress,
  StreamEvent,
} from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';

interface Node {
  readonly id: string;
  readonly rooms: Set<string>;
  events: EngineEvents | null;
  /** Cut off: it gets no events, and its store answers nothing any more. */
  dead: boolean;
}

/**
 * A backend that several nodes of this process share, on a memory engine: one order of events for all, handed to the
 * nodes that attached the room, and one key-value store.
 */
export class SharedBackend {
  private readonly engine: Engine;
  private readonly nodes: Node[] = [];

  constructor(clock: Clock) {
    this.engine = createMemoryEngine({ now: () => clock.now() });
  }

  get store(): KeyValueStore {
    return this.engine.store;
  }

  async open(): Promise<void> {
    await this.engine.open({
      deliver: (event) => this.fanOut(event),
      receive: () => {},
      health: () => {},
      historyGap: () => {},
      gap: () => {},
      trimmed: () => {},
    });
  }

  close(): Promise<void> {
    return this.engine.close();
  }

  /** One node's engine, and the way to make the node vanish without a farewell. */
  node(id = `node-${this.nodes.length + 1}`): { engine: Engine; die: () => void } {
    const node: Node = { id, rooms: new Set(), events: null, dead: false };
    this.nodes.push(node);
    const { broker, store } = this.engine;
    const alive = <T>(answer: () => T): T | Promise<T> => {
      if (node.dead) return Promise.reject(new Error('this node is dead'));
      return answer();
    };
    const engine: Engine = {
      backend: 'redis',
      broker: {
        publish: (publication) => alive<Published>(() => broker.publish(publication) as Published),
        attach: (tenant, room) => void node.rooms.add(`${tenant}/${room}`),
        detach: (tenant, room) => void node.rooms.delete(`${tenant}/${room}`),
        state: (stream) => broker.state(stream),
        find: (stream) => broker.find(stream),
        history: (stream, query) => broker.history(stream, query),
        streams: (tenant, room) => broker.streams(tenant, room),
        tenants: () => broker.tenants(),
        retentionOf: (stream) => broker.retentionOf(stream),
        usage: (streams) => broker.usage(streams),
        retain: (stream, retention) => broker.retain(stream, retention),
        drop: (stream) => broker.drop(stream),
        claim: async (key, windowMs) => alive(() => broker.claim(key, windowMs)),
      },
      // Asked over a network: never answered at once.
      store: {
        get: async (at, key) => alive(() => store.get(at, key)),
        set: async (at, key, value, options) => alive(() => store.set(at, key, value, options)),
        delete: async (at, key, ifVersion) => alive(() => store.delete(at, key, ifVersion)),
        list: async (at, query) => alive(() => store.list(at, query)),
        spaces: async () => alive(() => store.spaces()),
        tenants: async (space) => alive(() => store.tenants(space)),
        watch: (space, onChange) => store.watch(space, (change) => node.dead || onChange(change)),
      },
      presence: this.presenceOf(node),
      open: async (events) => {
        node.events = events;
      },
      healthy: () => true,
      stats: () => this.engine.stats(),
      close: async () => {
        node.events = null;
      },
    };
    return {
      engine,
      die: () => {
        node.dead = true;
      },
    };
  }

  /** Nobody is connected elsewhere; nodes only tell each other things. */
  private presenceOf(from: Node): Presence {
    return {
      announce: () => {},
      withdraw: () => {},
      find: () => [],
      list: () => [],
      report: () => [],
      send: async (to, message) => {
        for (const node of this.nodes) {
          if (node === from || (to !== null && node.id !== to) || node.dead || from.dead) continue;
          setImmediate(() => node.events?.receive(message));
        }
      },
    };
  }

  private fanOut(event: StreamEvent): number {
    const { tenant, room, channel } = event.stream;
    let count = 0;
    for (const { rooms, events, dead } of this.nodes) {
      if (dead || events === null) continue;
      if (!rooms.has(`${tenant}/${room}`) && !rooms.has(`${tenant}/*`)) continue;
      // Each node looks its own channel up.
      const stream: StreamAddress = { tenant, room, channel };
      count += events.deliver({ ...event, stream });
    }
    return count;
  }
}
