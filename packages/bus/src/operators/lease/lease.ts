import type { Core } from '../../core.ts';
import type { Operator } from '../operator.ts';
import { leaseCommands } from './commands.ts';
import { type LeaseOptions, Leases } from './leases.ts';

/** op.lease: keys that one client at a time has, for a time, in all nodes alike (OPERATORS). */
export function createLeaseOperator(bus: Core, options: LeaseOptions = {}): Operator {
  const leases = new Leases(bus, options);
  return {
    commands: leaseCommands(bus, leases),
    start: () => leases.start(),
    load: () => leases.owners.load(),
    drain: () => leases.endWaits(),
    stop: () => leases.stop(),
  };
}
