import { BusError, type JsonObject } from '@arqonbus/protocol';
import type { FakeClock } from './fake-clock.ts';
import type { FakeConnection } from './fake-connection.ts';

interface FakeLease {
  readonly keys: readonly string[];
  readonly connection: FakeConnection;
  readonly keep: boolean;
  readonly ttlMs: number;
  readonly token: number;
  until: number;
}

/** The leases of a fake server: each connection is a separate owner. There is no waiting: a held key is refused. */
export class FakeLeases {
  readonly #clock: FakeClock;
  readonly #leases = new Map<string, FakeLease>();
  #count = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  acquire(args: JsonObject, connection: FakeConnection): JsonObject {
    const { keys, ttl_seconds, keep = false } = args as { keys: string[]; ttl_seconds: number; keep?: boolean };
    for (const { keys: held, until } of this.#live()) {
      const key = keys.find((one) => held.includes(one));
      if (key === undefined) continue;
      const expires_at = new Date(until).toISOString();
      throw new BusError('CONFLICT', `"${key}" is leased until ${expires_at}.`, { key, expires_at });
    }
    this.#count += 1;
    const ttlMs = ttl_seconds * 1_000;
    const sorted = [...new Set(keys)].sort();
    const lease = { keys: sorted, connection, keep, ttlMs, token: this.#count, until: this.#clock.now() + ttlMs };
    const lease_id = `lease_${this.#count}`;
    this.#leases.set(lease_id, lease);
    return { lease_id, token: lease.token, expires_at: new Date(lease.until).toISOString(), keys: sorted };
  }

  renew({ lease_id, ttl_seconds }: JsonObject): JsonObject {
    const lease = this.#find(lease_id);
    const ttlMs = typeof ttl_seconds === 'number' ? ttl_seconds * 1_000 : lease.ttlMs;
    lease.until = this.#clock.now() + ttlMs;
    return { lease_id, token: lease.token, expires_at: new Date(lease.until).toISOString() };
  }

  release({ lease_id }: JsonObject): JsonObject {
    this.#find(lease_id);
    this.#leases.delete(String(lease_id));
    return { released: true, lease_id };
  }

  gone(connection: FakeConnection): void {
    for (const [id, lease] of this.#leases) if (lease.connection === connection && !lease.keep) this.#leases.delete(id);
  }

  #live(): FakeLease[] {
    for (const [id, { until }] of this.#leases) if (until <= this.#clock.now()) this.#leases.delete(id);
    return [...this.#leases.values()];
  }

  #find(id: unknown): FakeLease {
    this.#live();
    const lease = this.#leases.get(String(id));
    if (lease === undefined) throw new BusError('LEASE_LOST', 'The lease has ended.', { lease_id: id });
    return lease;
  }
}
