import type { Clock } from '../clock.ts';
import type { KeyValueStore } from '../engine/engine.ts';

interface Lease {
  readonly tenant: string;
  readonly key: string;
  /** Version of the key that this node wrote; 0: another node holds the lease, or none does. */
  version: number;
  /** When it ends unless it is renewed, by this node's steady clock. */
  until: number;
  /** The holder, as far as this node knows. */
  holder: string | null;
  asking: boolean;
}

export interface NodeLeaseOptions {
  /** A space of the key-value store that holds nothing else. */
  readonly space: string;
  /** A dead node is replaced after this time, in milliseconds. */
  readonly leaseMs: number;
  /** How often a lease is renewed or requested. */
  readonly renewalMs: number;
}

export interface NodeLeaseEvents {
  onGained(tenant: string, key: string): void;
  /** This node still holds a lease that seemed to have ended. */
  onKept?(tenant: string, key: string): void;
  onLost(tenant: string, key: string): void;
  /** Another node is the holder, or (null) there is none. */
  onHolder?(tenant: string, key: string, node: string | null): void;
  onFault(error: unknown): void;
}

/**
 * Assigns each of any number of tasks to one node of a cluster. A node writes its name under a key that expires, with
 * compare-and-set, and renews it; the others retry regularly, and at once when the key is gone.
 */
export class NodeLeases {
  private readonly store: KeyValueStore;
  private readonly node: string;
  private readonly clock: Clock;
  private readonly options: NodeLeaseOptions;
  private readonly events: NodeLeaseEvents;
  private readonly leases: Map<string, Lease> = new Map();
  private stopWatching: () => void = () => {};
  private stopTimer: () => void = () => {};
  /** Until then other nodes take precedence, by the steady clock. */
  private yieldingUntil = 0;

  constructor(store: KeyValueStore, node: string, clock: Clock, options: NodeLeaseOptions, events: NodeLeaseEvents) {
    this.store = store;
    this.node = node;
    this.clock = clock;
    this.options = options;
    this.events = events;
  }

  start(): void {
    this.stopWatching = this.store.watch(this.options.space, ({ at, key, value }) => {
      const lease = this.leases.get(nameOf(at.tenant, key));
      if (lease === undefined || lease.version > 0) return;
      this.note(lease, value === null ? null : (JSON.parse(value) as string));
      // Given back, or expired.
      if (value === null) void this.ask(lease);
    });
    const tick = (): void => {
      for (const lease of this.leases.values()) void this.ask(lease);
      this.stopTimer = this.clock.after(this.options.renewalMs, tick);
    };
    tick();
  }

  /** Makes this node a candidate: it tries to hold the lease from now on. */
  want(tenant: string, key: string): void {
    const name = nameOf(tenant, key);
    if (this.leases.has(name)) return;
    const lease: Lease = { tenant, key, version: 0, until: 0, holder: null, asking: false };
    this.leases.set(name, lease);
    void this.ask(lease);
  }

  /** Withdraws this node's candidacy. */
  async release(tenant: string, key: string): Promise<void> {
    const lease = this.leases.get(nameOf(tenant, key));
    if (lease === undefined) return;
    this.leases.delete(nameOf(tenant, key));
    await this.giveBack(lease);
  }

  holds(tenant: string, key: string): boolean {
    const lease = this.leases.get(nameOf(tenant, key));
    return lease !== undefined && lease.version > 0 && this.clock.steady() < lease.until;
  }

  /** Gives up all held leases to other nodes; takes back those that none took within two renewals. */
  async yield(): Promise<void> {
    this.yieldingUntil = this.clock.steady() + 2 * this.options.renewalMs;
    const held = [...this.leases.values()].filter(({ version }) => version > 0);
    await Promise.all(
      held.map(async (lease) => {
        await this.giveBack(lease);
        this.lose(lease);
      }),
    );
  }

  /** Gives back all leases, so that other nodes do not wait for their expiry. */
  async stop(): Promise<void> {
    this.stopTimer();
    this.stopWatching();
    await Promise.all([...this.leases.values()].map(({ tenant, key }) => this.release(tenant, key)));
  }

  private async ask(lease: Lease): Promise<void> {
    const asked = this.clock.steady();
    if (lease.asking || (lease.version === 0 && asked < this.yieldingUntil)) return;
    lease.asking = true;
    // After its end the key may have changed hands, and its version may be the same again.
    if (lease.version > 0 && asked >= lease.until) this.lose(lease);
    const { tenant, key, version } = lease;
    const at = { tenant, space: this.options.space, namespace: '' };
    try {
      const outcome = await this.store.set(at, key, JSON.stringify(this.node), {
        ifVersion: version,
        ttlMs: this.options.leaseMs,
      });
      if (outcome.ok) {
        const seemedOver = this.clock.steady() >= lease.until;
        lease.version = outcome.version;
        lease.until = asked + this.options.leaseMs;
        if (this.leases.get(nameOf(tenant, key)) !== lease) await this.giveBack(lease);
        else if (version === 0) {
          lease.holder = this.node;
          this.events.onGained(tenant, key);
        } else if (seemedOver) this.events.onKept?.(tenant, key);
      } else if (version > 0) this.lose(lease);
      else if (lease.holder === null) {
        const held = await this.store.get(at, key);
        if (lease.version === 0 && lease.holder === null) {
          this.note(lease, held === null ? null : (JSON.parse(held.value) as string));
        }
      }
    } catch (error) {
      // The store is unavailable. Held leases last until they end; the next turn retries.
      this.events.onFault(error);
    } finally {
      lease.asking = false;
    }
  }

  private note(lease: Lease, holder: string | null): void {
    if (lease.holder === holder) return;
    lease.holder = holder;
    if (holder !== this.node) this.events.onHolder?.(lease.tenant, lease.key, holder);
  }

  private lose(lease: Lease): void {
    lease.version = 0;
    lease.holder = null;
    this.events.onLost(lease.tenant, lease.key);
  }

  private async giveBack(lease: Lease): Promise<void> {
    const { tenant, key, version } = lease;
    lease.version = 0;
    if (version === 0) return;
    try {
      await this.store.delete({ tenant, space: this.options.space, namespace: '' }, key, version);
    } catch (error) {
      this.events.onFault(error);
    }
  }
}

/** Tenants contain no slash. */
function nameOf(tenant: string, key: string): string {
  return `${tenant}/${key}`;
}
