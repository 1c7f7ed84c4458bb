import { BusError, type CommandResult, type OmegaEvent, type OmegaSubstrate } from '@arqonbus/protocol';

export interface OmegaLimits {
  /** Signals kept; the oldest go first. */
  readonly maxEvents: number;
  readonly maxSubstrates: number;
}

export interface EventFilter {
  readonly substrate_id?: string;
  readonly signal?: string;
}

/** Every tenant's substrates and signals, in memory. */
export class OmegaStates {
  private readonly limits: OmegaLimits;
  private readonly byTenant: Map<string, OmegaState> = new Map();

  constructor(limits: OmegaLimits) {
    this.limits = limits;
  }

  of(tenant: string): OmegaState {
    let state = this.byTenant.get(tenant);
    if (state === undefined) {
      state = new OmegaState(this.limits);
      this.byTenant.set(tenant, state);
    }
    return state;
  }

  counts(tenant: string): { substrates: number; events: number } {
    return this.byTenant.get(tenant)?.counts() ?? { substrates: 0, events: 0 };
  }
}

/** One tenant's. */
export class OmegaState {
  private readonly limits: OmegaLimits;
  private readonly registered: Map<string, OmegaSubstrate> = new Map();
  private recorded: OmegaEvent[] = [];

  constructor(limits: OmegaLimits) {
    this.limits = limits;
  }

  counts(): { substrates: number; events: number } {
    return { substrates: this.registered.size, events: this.recorded.length };
  }

  /** Throws LIMIT_EXCEEDED when there are as many as there may be. */
  register(substrate: OmegaSubstrate): OmegaSubstrate {
    const { maxSubstrates } = this.limits;
    if (this.registered.size >= maxSubstrates) {
      throw new BusError('LIMIT_EXCEEDED', `There are ${maxSubstrates} substrates; unregister some first.`, {
        limit: maxSubstrates,
      });
    }
    this.registered.set(substrate.substrate_id, substrate);
    return substrate;
  }

  /** Removes a substrate with its signals; answers how many those were. */
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

  substrates(): OmegaSubstrate[] {
    return [...this.registered.values()];
  }

  record(event: OmegaEvent): void {
    this.recorded.push(event);
    if (this.recorded.length > this.limits.maxEvents) this.recorded.shift();
  }

  /** Oldest first. */
  events(filter: EventFilter): OmegaEvent[] {
    return this.recorded.filter((event) => matches(event, filter));
  }

  clear(filter: EventFilter): CommandResult<'op.omega.clear_events'> {
    const before = this.recorded.length;
    this.recorded = this.recorded.filter((event) => !matches(event, filter));
    return { removed_count: before - this.recorded.length, remaining_count: this.recorded.length };
  }
}

function matches(event: OmegaEvent, { substrate_id, signal }: EventFilter): boolean {
  return (
    (substrate_id === undefined || event.substrate_id === substrate_id) &&
    (signal === undefined || event.signal === signal)
  );
}
