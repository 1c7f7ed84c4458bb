import type { StreamAddress } from './engine.ts';

/**
 * Streams by address: tenant, room, channel. Three lookups of names with cached hashes are cheaper than building a
 * joined key for every message, and a room's streams are found without scanning all others.
 */
export class StreamMap<T> {
  readonly #tenants = new Map<string, Map<string, Map<string, T>>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get({ tenant, room, channel }: StreamAddress): T | undefined {
    return this.#tenants.get(tenant)?.get(room)?.get(channel);
  }

  set({ tenant, room, channel }: StreamAddress, stream: T): void {
    const rooms = this.#tenants.get(tenant) ?? new Map<string, Map<string, T>>();
    const channels = rooms.get(room) ?? new Map<string, T>();
    if (!channels.has(channel)) this.#size += 1;
    this.#tenants.set(tenant, rooms.set(room, channels.set(channel, stream)));
  }

  delete({ tenant, room, channel }: StreamAddress): void {
    const rooms = this.#tenants.get(tenant);
    const channels = rooms?.get(room);
    if (channels?.delete(channel) === true) this.#size -= 1;
    if (channels?.size === 0) rooms?.delete(room);
    if (rooms?.size === 0) this.#tenants.delete(tenant);
  }

  tenants(): string[] {
    return [...this.#tenants.keys()];
  }

  /** The streams of a tenant, or of one of its rooms. */
  *list(tenant: string, room?: string): Generator<T> {
    const rooms = this.#tenants.get(tenant);
    if (rooms === undefined) return;
    for (const channels of room === undefined ? rooms.values() : [rooms.get(room)]) yield* channels?.values() ?? [];
  }

  /** All streams. Streams may be added and deleted between steps: those that remain are visited once. */
  *values(): Generator<T> {
    for (const tenant of this.#tenants.keys()) yield* this.list(tenant);
  }
}
