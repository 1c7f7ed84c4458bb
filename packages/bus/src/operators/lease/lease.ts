import type { Core } from '../../core.ts';
import type { Operator } from '../operator.ts';
import { leaseCommands } from './commands.ts';
import { type LeaseOptions, Leases } from './leases.ts';
import type { LeaseLimits } from './record.ts';

/** The `op.lease` commands (OPERATORS). */
export interface LeaseOperator extends Operator {
  /** Applies new limits to later acquisitions. */
  adjust(limits: LeaseLimits): void;
}

/** op.lease: keys held exclusively by one client for a limited time, across all nodes (OPERATORS). */
export function createLeaseOperator(bus: Core, options: LeaseOptions = {}): LeaseOperator {
  const leases = new Leases(bus, options);
  return {
    commands: leaseCommands(bus, leases),
    adjust: (limits) => leases.ledger.adjust(limits),
    start: () => leases.start(),
    load: () => leases.owners.load(),
    drain: () => leases.endWaits(),
    stop: () => leases.stop(),
  };
}
