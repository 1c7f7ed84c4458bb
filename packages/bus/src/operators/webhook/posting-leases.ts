import type { KeySpace, KeyValueStore } from '../../engine/engine.ts';
import type { Clock } from '../clock.ts';

const SPACE = 'webhook_lease';
const KEY = 'posting';
/** A node that died is succeeded after this long. */
const LEASE_MS = 15_000;
const RENEWAL_MS = 5_000;

interface Lease {
  /** Version of the key that this node wrote; 0: the lease is another's, or nobody's. */
  version: number;
  /** When it ends unless it is renewed, by this node's steady clock. */
  until: number;
  asking: boolean;
}

export interface LeaseEvents {
  onGained(tenant: string): void;
  onLost(tenant: string): void;
  onFault(error: unknown): void;
}

/**
 * Which node of a cluster posts for a tenant's durable rules. All nodes get the events and one holds the lease.
 *
 * A claim for each event would also post it once, but spread one rule's events over the nodes, and then nobody could
 * keep their order. So one node has them all; it writes its name under a key that expires, with compare-and-set, and
 * renews it.
 */
export class PostingLeases {
  private readonly store: KeyValueStore;
  private readonly node: string;
  private readonly clock: Clock;
  private readonly events: LeaseEvents;
  private readonly leases: Map<string, Lease> = new Map();
  private stopWatching: () => void = () => {};
  private stopTimer: () => void = () => {};

  constructor(store: KeyValueStore, node: string, clock: Clock, events: LeaseEvents) {
    this.store = store;
    this.node = node;
    this.clock = clock;
    this.events = events;
  }

  start(): void {
    this.stopWatching = this.store.watch(SPACE, ({ at, value }) => {
      const lease = this.leases.get(at.tenant);
      // Given back, or run out.
      if (value === null && lease?.version === 0) void this.ask(at.tenant, lease);
    });
    const tick = (): void => {
      for (const [tenant, lease] of this.leases) void this.ask(tenant, lease);
      this.stopTimer = this.clock.after(RENEWAL_MS, tick);
    };
    tick();
  }

  /** This node has durable rules of the tenant: it tries to hold the lease from now on. */
  want(tenant: string): void {
    if (this.leases.has(tenant)) return;
    const lease = { version: 0, until: 0, asking: false };
    this.leases.set(tenant, lease);
    void this.ask(tenant, lease);
  }

  /** The tenant has no durable rules any more. */
  async release(tenant: string): Promise<void> {
    const lease = this.leases.get(tenant);
    if (lease === undefined) return;
    this.leases.delete(tenant);
    await this.giveBack(tenant, lease);
  }

  holds(tenant: string): boolean {
    return (this.leases.get(tenant)?.version ?? 0) > 0;
  }

  /** Gives every lease back, so that other nodes need not wait for their end. */
  async stop(): Promise<void> {
    this.stopWatching();
    this.stopTimer();
    await Promise.all([...this.leases.keys()].map((tenant) => this.release(tenant)));
  }

  private async ask(tenant: string, lease: Lease): Promise<void> {
    if (lease.asking) return;
    lease.asking = true;
    const asked = this.clock.steady();
    // Past its end the key may have been another node's in between, and its version may be the same again.
    if (lease.version > 0 && asked >= lease.until) this.lose(tenant, lease);
    try {
      const { version } = lease;
      const outcome = await this.store.set(spaceOf(tenant), KEY, JSON.stringify(this.node), {
        ifVersion: version,
        ttlMs: LEASE_MS,
      });
      if (outcome.ok) {
        lease.version = outcome.version;
        lease.until = asked + LEASE_MS;
        if (this.leases.get(tenant) !== lease) await this.giveBack(tenant, lease);
        else if (version === 0) this.events.onGained(tenant);
      } else if (version > 0) {
        this.lose(tenant, lease);
      }
    } catch (error) {
      // The store is away. What was held is held until it ends; the next turn looks again.
      this.events.onFault(error);
    } finally {
      lease.asking = false;
    }
  }

  private lose(tenant: string, lease: Lease): void {
    lease.version = 0;
    this.events.onLost(tenant);
  }

  private async giveBack(tenant: string, lease: Lease): Promise<void> {
    const { version } = lease;
    lease.version = 0;
    if (version === 0) return;
    try {
      await this.store.delete(spaceOf(tenant), KEY, version);
    } catch (error) {
      this.events.onFault(error);
    }
  }
}

function spaceOf(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}
