import type { Awaitable, Broker } from '../engine/engine.ts';

/**
 * Which rooms this node wants events of, counted: the engine is told of the first member of a room and of the last.
 * An engine of one node answers at once.
 */
export class Interest {
  private readonly broker: Broker;
  private readonly onDetached: (tenant: string, room: string) => void;
  private readonly counts: Map<string, number> = new Map();

  /** @param onDetached told when a room's events no longer come to this node */
  constructor(broker: Broker, onDetached: (tenant: string, room: string) => void) {
    this.broker = broker;
    this.onDetached = onDetached;
  }

  /** One more wants the room (`*`: all rooms of the tenant). When it has answered, no later event is missed. */
  add(tenant: string, room: string): Awaitable<void> {
    const key = `${tenant}/${room}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    // Also for those that follow the first: they must wait for the same subscription to be there.
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
