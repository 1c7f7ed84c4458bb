import type { Awaitable, Broker } from '../engine/engine.ts';

/**
 * The rooms whose events this node needs, reference-counted: a room is attached while it has members. A single-node
 * engine answers synchronously.
 */
export class Interest {
  private readonly broker: Broker;
  private readonly onDetached: (tenant: string, room: string) => void;
  private readonly counts: Map<string, number> = new Map();

  /** @param onDetached called when a room's events no longer reach this node */
  constructor(broker: Broker, onDetached: (tenant: string, room: string) => void) {
    this.broker = broker;
    this.onDetached = onDetached;
  }

  /** Adds a reference to the room (`*`: all rooms of the tenant). Once it resolves, no later event is missed. */
  add(tenant: string, room: string): Awaitable<void> {
    const key = `${tenant}/${room}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    // Also for later members: they must wait for the same subscription.
    return this.broker.attach(tenant, room);
  }

  remove(tenant: string, room: string): void {
    const key = `${tenant}/${room}`;
    const count = this.counts.get(key);
    if (count === undefined) return;
    if (count > 1) {
      this.counts.set(key, count - 1);
      return;
    }
    this.counts.delete(key);
    this.broker.detach(tenant, room);
    this.onDetached(tenant, room);
  }
}
