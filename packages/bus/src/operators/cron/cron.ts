import type { Core } from '../../core.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Operator } from '../operator.ts';
import { cronCommands } from './commands.ts';
import { Scheduler } from './scheduler.ts';

export interface CronOptions {
  /** Jobs of one tenant. */
  readonly maxJobs: number;
  /** The machine's, unless given. */
  readonly clock?: Clock;
}

export const DEFAULT_CRON_OPTIONS: CronOptions = { maxJobs: 1_000 };

/** op.cron: events that are published later (OPERATORS). */
export function createCronOperator(
  bus: Core,
  { maxJobs, clock = systemClock(bus.options.now) }: CronOptions,
): Operator {
  const scheduler = new Scheduler(bus, clock);
  const ownerLeft = (tenant: string, identity: string): void => scheduler.ownerLeft(tenant, identity);
  return {
    commands: cronCommands(bus.access, scheduler, maxJobs, clock),
    start: () => {
      bus.ownerLeft.add(ownerLeft);
      scheduler.start();
    },
    load: () => scheduler.load(),
    stop: () => {
      bus.ownerLeft.delete(ownerLeft);
      scheduler.stop();
    },
  };
}
