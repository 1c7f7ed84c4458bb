import type { EngineEvents } from '../engine.ts';
import type { Ring } from './ring.ts';
import { type Weighed, WeightHeap } from './weight-heap.ts';

const TELL_INTERVAL_MS = 60_000;
/** Divides what spared events weigh, so that any other weighs more. */
const SPARED = 2 ** 40;

/** How many bytes of memory histories may take. */
export interface HistoryLimits {
  readonly process: number;
  readonly tenant: number;
}

/** A stream whose history is counted. The more it weighs, the sooner its events go. */
export interface Counted extends Weighed {
  readonly ring: Ring;
  readonly home: TenantHistory;
  /** Bytes of memory that it counts for. */
  counted: number;
}

/** What the streams of one tenant hold. As part of the process it weighs as much as its largest stream. */
export interface TenantHistory extends Weighed {
  readonly name: string;
  readonly streams: WeightHeap<Counted>;
  /** Streams that there are, empty ones too. */
  count: number;
  total: number;
}

/** Events that went before their time and have not been told of. */
interface Untold {
  readonly scope: 'tenant' | 'process';
  readonly tenant: string;
  events: number;
  /** When it may be told next. */
  due: number;
}

/**
 * Keeps what all histories take within bounds, of each tenant and of the process: over one, the oldest events of the
 * largest stream go until it holds again, those that streams are to keep whatever happens only when no other is left:
 * a bound of the process stands over every wish. The largest is known at any time, so that this costs each publication O(log n)
 * of the streams at most, and mostly nothing: a stream that is full lets go of as much as it takes.
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

  /** Takes in a stream of a tenant, which is let go of by {@link leave}. */
  join(name: string): TenantHistory {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      tenant = { name, streams: new WeightHeap<Counted>(), count: 0, total: 0, weight: 0, place: -1 };
      this.#tenants.set(name, tenant);
    }
    tenant.count += 1;
    return tenant;
  }

  /** A stream whose ring was emptied is gone. */
  leave(stream: Counted): void {
    this.note(stream);
    stream.home.count -= 1;
    if (stream.home.count === 0) this.#tenants.delete(stream.home.name);
  }

  /** A stream's history has grown or shrunk; what is over a bound by now goes. */
  note(stream: Counted): void {
    if (stream.ring.weight === stream.counted && weightOf(stream.ring) === stream.weight) return;
    const { home } = stream;
    this.#follow(stream);
    if (home.total > this.#limits.tenant) this.#trim('tenant', this.#limits.tenant, home);
    if (this.#total > this.#limits.process) this.#trim('process', this.#limits.process, null);
  }

  /** Tells of the events that went, of each scope and tenant once a minute at most. */
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
      // What was only estimated may weigh less than was thought, and another stream be the largest.
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
