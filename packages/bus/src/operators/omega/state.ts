import { BusError, type CommandResult, type OmegaEvent, type OmegaSubstrate } from '@arqonbus/protocol';
import { MAX_PAGE_BYTES } from '../page.ts';

/** Maximum UTF-8 bytes of a tenant's signals; the oldest are dropped first. */
export const MAX_EVENT_BYTES = 8_388_608;

export interface OmegaLimits {
  /** Maximum number of signals; the oldest are dropped first. */
  readonly maxEvents: number;
  readonly maxSubstrates: number;
}

export interface EventFilter {
  readonly substrate_id?: string;
  readonly signal?: string;
}

/** Every tenant's substrates and signals, in memory. A tenant without any takes no space. */
export class OmegaStates {
  private readonly limits: OmegaLimits;
  private readonly byTenant: Map<string, OmegaState> = new Map();

  constructor(limits: OmegaLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.byTenant.size;
  }

  /** For reading: changes are kept only if the tenant has registered a substrate before. */
  of(tenant: string): OmegaState {
    return this.byTenant.get(tenant) ?? new OmegaState(this.limits);
  }

  /** Throws LIMIT_EXCEEDED when the limit is reached. */
  register(tenant: string, substrate: OmegaSubstrate): OmegaSubstrate {
    const state = this.of(tenant);
    state.register(substrate);
    this.byTenant.set(tenant, state);
    return substrate;
  }

  /** Removes a substrate with its signals; returns the number of signals. Throws NOT_FOUND. */
  unregister(tenant: string, id: string): number {
    const state = this.of(tenant);
    const removed = state.unregister(id);
    if (state.counts().substrates === 0) this.byTenant.delete(tenant);
    return removed;
  }
}

interface Recorded {
  readonly event: OmegaEvent;
  /** Ever-increasing; the cursor of lists. */
  readonly order: number;
  readonly bytes: number;
}

/** The state of one tenant: substrates and their signals. */
export class OmegaState {
  private readonly limits: OmegaLimits;
  private readonly registered: Map<string, OmegaSubstrate> = new Map();
  private recorded: Recorded[] = [];
  private bytes = 0;
  private order = 0;

  constructor(limits: OmegaLimits) {
    this.limits = limits;
  }

  counts(): { substrates: number; events: number } {
    return { substrates: this.registered.size, events: this.recorded.length };
  }

  register(substrate: OmegaSubstrate): void {
    const { maxSubstrates } = this.limits;
    if (this.registered.size >= maxSubstrates) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `There are ${maxSubstrates} substrates, which is the limit (ARQONBUS_OMEGA_MAX_SUBSTRATES); unregister some first.`,
        { limit: maxSubstrates },
      );
    }
    this.registered.set(substrate.substrate_id, substrate);
  }

  unregister(id: string): number {
    this.assertRegistered(id);
    this.registered.delete(id);
    return this.clear({ substrate_id: id }).removed_count;
  }

  /** Throws NOT_FOUND for a substrate that is not registered. */
  assertRegistered(id: string): void {
    if (this.registered.has(id)) return;
    throw new BusError('NOT_FOUND', 'There is no such substrate; list_substrates shows them.', {
      field: 'substrate_id',
    });
  }

  substrates(): IterableIterator<OmegaSubstrate> {
    return this.registered.values();
  }

  record(event: OmegaEvent): void {
    // The substrate may have been removed while the event was published.
    if (!this.registered.has(event.substrate_id)) return;
    const bytes = Buffer.byteLength(JSON.stringify(event)) + 1;
    this.order += 1;
    this.recorded.push({ event, order: this.order, bytes });
    this.bytes += bytes;
    while (this.recorded.length > this.limits.maxEvents || this.bytes > MAX_EVENT_BYTES) {
      this.bytes -= this.recorded.shift()?.bytes ?? 0;
    }
  }

  /**
   * The newest signals, oldest first: at most `limit`, within the byte limit of a response. `next` leads to older ones.
   *
   * @param after the `next` of the previous page
   */
  events(filter: EventFilter, limit: number, after: string | undefined): CommandResult<'op.omega.list_events'> {
    const before = after === undefined ? Number.POSITIVE_INFINITY : Number(after);
    const found: Recorded[] = [];
    let bytes = 0;
    let next: string | undefined;
    for (let index = this.recorded.length - 1; index >= 0; index -= 1) {
      const one = this.recorded[index] as Recorded;
      if (one.order >= before || !matches(one.event, filter)) continue;
      bytes += one.bytes;
      if (found.length === limit || (found.length > 0 && bytes > MAX_PAGE_BYTES)) {
        next = String(found.at(-1)?.order);
        break;
      }
      found.push(one);
    }
    const events = found.reverse().map(({ event }) => event);
    return { events, count: events.length, ...(next === undefined ? {} : { next }) };
  }

  clear(filter: EventFilter): CommandResult<'op.omega.clear_events'> {
    const before = this.recorded.length;
    this.recorded = this.recorded.filter(({ event }) => !matches(event, filter));
    this.bytes = this.recorded.reduce((sum, { bytes }) => sum + bytes, 0);
    return { removed_count: before - this.recorded.length, remaining_count: this.recorded.length };
  }
}

function matches(event: OmegaEvent, { substrate_id, signal }: EventFilter): boolean {
  return (
    (substrate_id === undefined || event.substrate_id === substrate_id) &&
    (signal === undefined || event.signal === signal)
  );
}
