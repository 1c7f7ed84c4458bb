import type { EngineEvents } from '../engine.ts';
import type { Ring } from './ring.ts';
import { type Weighed, WeightHeap } from './weight-heap.ts';

const TELL_INTERVAL_MS = 60_000;
/** Divides the weight of exempt events, so that any other weighs more. */
const SPARED = 2 ** 40;

/** Memory limits of histories, in bytes. */
export interface HistoryLimits {
  readonly process: number;
  readonly tenant: number;
}

/** A stream whose history is counted. The more it weighs, the sooner its events are evicted. */
export interface Counted extends Weighed {
  readonly ring: Ring;
  readonly home: TenantHistory;
  /** Bytes of memory currently counted for it. */
  counted: number;
}

/** The histories of one tenant. Within the process it weighs as much as its largest stream. */
export interface TenantHistory extends Weighed {
  readonly name: string;
  readonly streams: WeightHeap<Counted>;
  /** Number of streams, including empty ones. */
  count: number;
  total: number;
}

/** Events evicted early but not reported yet. */
interface Untold {
  readonly scope: 'tenant' | 'process';
  readonly tenant: string;
  events: number;
  /** When it may be reported next. */
  due: number;
}

/**
 * Keeps the memory of all histories within limits, per tenant and per process: above one, the oldest events of the
 * largest stream are evicted until the limit holds again; events that streams are meant to keep regardless go only when
 * no others are left, since the process limit has priority. The largest stream is always known, so this costs each
 * publication at most O(log n) of the streams, and usually nothing: a full stream evicts as much as it adds.
 */
export class HistoryBounds {
  readonly #limits: HistoryLimits;
  readonly #tenants = new Map<string, TenantHistory>();
  readonly #largest = new WeightHeap<TenantHistory>();
  readonly #untold = new Map<string, Untold>();
  #total = 0;

  constructor(limits: HistoryLimits) {
    this.#limits = limits;
  }

  /** Adds a stream of a tenant; {@link leave} removes it. */
  join(name: string): TenantHistory {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      tenant = { name, streams: new WeightHeap<Counted>(), count: 0, total: 0, weight: 0, place: -1 };
      this.#tenants.set(name, tenant);
    }
    tenant.count += 1;
    return tenant;
  }

  /** Removes a stream whose ring was emptied. */
  leave(stream: Counted): void {
    this.note(stream);
    stream.home.count -= 1;
    if (stream.home.count === 0) this.#tenants.delete(stream.home.name);
  }

  /** A stream's history has grown or shrunk; evicts what exceeds a limit. */
  note(stream: Counted): void {
    if (stream.ring.weight === stream.counted && weightOf(stream.ring) === stream.weight) return;
    const { home } = stream;
    this.#follow(stream);
    if (home.total > this.#limits.tenant) this.#trim('tenant', this.#limits.tenant, home);
    if (this.#total > this.#limits.process) this.#trim('process', this.#limits.process, null);
  }

  /** Reports the evicted events, per scope and tenant at most once a minute. */
  tell(now: number, trimmed: EngineEvents['trimmed']): void {
    for (const [key, untold] of this.#untold) {
      if (untold.due > now) continue;
      const { scope, tenant, events } = untold;
      if (events === 0) {
        this.#untold.delete(key);
        continue;
      }
      untold.events = 0;
      untold.due = now + TELL_INTERVAL_MS;
      trimmed({ scope, tenant, events });
    }
  }

  #trim(scope: 'tenant' | 'process', limit: number, of: TenantHistory | null): void {
    for (;;) {
      if ((of === null ? this.#total : of.total) <= limit) return;
      const tenant = of ?? this.#largest.heaviest;
      const stream = tenant?.streams.heaviest;
      if (tenant === undefined || stream === undefined) return;
      // Uncounted events may weigh less than estimated, and another stream may be the largest.
      if (stream.ring.measure() > 0) {
        this.#follow(stream);
        continue;
      }
      stream.ring.evict();
      this.#follow(stream);
      const key = `${scope}/${tenant.name}`;
      const untold = this.#untold.get(key);
      if (untold === undefined) this.#untold.set(key, { scope, tenant: tenant.name, events: 1, due: 0 });
      else untold.events += 1;
    }
  }

  #follow(stream: Counted): void {
    const { home, ring } = stream;
    const change = ring.weight - stream.counted;
    stream.counted = ring.weight;
    home.total += change;
    this.#total += change;
    home.streams.weigh(stream, weightOf(ring));
    const largest = home.streams.heaviest?.weight ?? 0;
    if (largest !== home.weight) this.#largest.weigh(home, largest);
  }
}

function weightOf(ring: Ring): number {
  return ring.isSpared ? ring.weight / SPARED : ring.weight;
}
