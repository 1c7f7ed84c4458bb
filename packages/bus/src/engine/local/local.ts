import { BusError } from '@arqonbus/protocol';
import type { Backend, Engine, EngineEvents, EngineStats, KeyChange, StreamEvent } from '../engine.ts';
import { LocalBroker } from './broker.ts';
import { Link, type Welcome } from './link.ts';
import { LocalPresence } from './presence.ts';
import { LocalStore } from './store.ts';

export interface LocalEngineOptions {
  /** The socket of the host process. */
  readonly path: string;
  /** The backend of the host's engine. */
  readonly backend: Backend;
  /** This worker's name, unique among those of the host. */
  readonly nodeId: string;
  /** Maximum bytes waiting for the host to read; beyond it calls are rejected. 64 MiB. */
  readonly maxBacklogBytes?: number;
  /**
   * Called when this worker missed key changes that the host no longer has. The worker's rules, jobs and groups may be
   * wrong from then on, and only a restart helps.
   */
  readonly onStale?: () => void;
}

/**
 * The engine of a worker: the engine of another process on the same machine, over its socket. A broken connection is
 * treated as an unavailable backend. It reconnects automatically, and then reports a gap for each room.
 */
export function createLocalEngine(options: LocalEngineOptions): Engine {
  return new LocalEngine(options);
}

class LocalEngine implements Engine {
  readonly backend: Backend;
  readonly broker: LocalBroker;
  readonly store: LocalStore;
  readonly presence: LocalPresence;
  private readonly onStale: () => void;
  private readonly link: Link;
  /** The state of the host's engine as last reported. */
  private remote: Pick<Welcome, 'healthy' | 'reason' | 'warnings'> = { healthy: false, reason: '', warnings: [] };
  private events: EngineEvents | null = null;
  /** Whether {@link open} has returned; from then on connection changes are reported. */
  private isOpen = false;

  constructor({ path, backend, nodeId, maxBacklogBytes, onStale = () => {} }: LocalEngineOptions) {
    this.backend = backend;
    this.onStale = onStale;
    const hear = this.hearers;
    this.link = new Link(
      path,
      {
        hello: () => ({ node: nodeId, told: this.store.told }),
        connected: (welcome) => this.connected(welcome),
        lost: (reason) => this.events?.health({ healthy: false, reason }),
        deliver: (event) => (this.broker.wants(event) ? (this.events?.deliver(event) ?? 0) : 0),
        told: ([kind, ...facts]) => {
          if (!Object.hasOwn(hear, kind)) throw new Error(`The host tells nothing of the kind ${kind}.`);
          hear[kind as keyof typeof hear](...(facts as [never, never]));
        },
      },
      maxBacklogBytes,
    );
    this.broker = new LocalBroker(this.link);
    this.store = new LocalStore(this.link);
    this.presence = new LocalPresence(this.link);
  }

  get warnings(): readonly string[] {
    return this.remote.warnings;
  }

  async open(events: EngineEvents): Promise<void> {
    this.events = events;
    try {
      await this.link.open();
    } finally {
      this.isOpen = true;
    }
    if (!this.remote.healthy) throw new BusError('STORAGE_UNAVAILABLE', this.remote.reason);
  }

  healthy(): boolean {
    return this.link.connected && this.remote.healthy;
  }

  async stats(): Promise<EngineStats> {
    if (this.link.connected) return this.link.request('stats');
    const { operations, errors, lastError: last_error } = this.link;
    const nothing = { streams: 0, messages: 0, bytes: 0 };
    return { backend: this.backend, connected: false, operations, errors, last_error, ...nothing };
  }

  close(): Promise<void> {
    return this.link.close();
  }

  private connected(welcome: Welcome): void {
    this.remote = welcome;
    this.broker.establish();
    this.store.establish(welcome);
    this.presence.establish();
    if (!welcome.isWhole) this.onStale();
    if (!this.isOpen) return;
    // A read before the rooms are attached again could end before the first live event.
    this.link.request('ping').then(
      () => this.recovered(),
      // Lost again; the next connection reports it.
      () => {},
    );
  }

  private recovered(): void {
    const { events } = this;
    const { healthy, reason } = this.remote;
    if (healthy) events?.health({ healthy, reason });
    for (const [tenant, room] of this.broker.wanted()) events?.gap(tenant, room);
  }

  /** Handlers for messages the host sends without a request. */
  private readonly hearers = {
    health: (state: { healthy: boolean; reason: string }): void => {
      this.remote = { ...this.remote, ...state };
      this.events?.health(state);
    },
    historyGap: (stream: StreamEvent['stream']): void => this.events?.historyGap(stream),
    gap: (tenant: string, room: string): void => void this.events?.gap(tenant, room),
    trimmed: (state: Parameters<EngineEvents['trimmed']>[0]): void => this.events?.trimmed(state),
    warning: (sentence: string): void => {
      this.remote = { ...this.remote, warnings: [...new Set([...this.remote.warnings, sentence])] };
      this.events?.warning?.(sentence);
    },
    change: (number: number, change: KeyChange): void => this.store.changed(number, change),
    message: (message: Parameters<EngineEvents['receive']>[0]): void => this.events?.receive(message),
  };
}
