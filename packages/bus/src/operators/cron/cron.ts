import { type Clock, systemClock } from '../../clock.ts';
import type { Core } from '../../core.ts';
import type { DelayMessage } from '../../publish.ts';
import type { Operator } from '../operator.ts';
import type { Quota } from '../quota.ts';
import { cronCommands } from './commands.ts';
import { type CronCounts, Scheduler } from './scheduler.ts';

export const DEFAULT_MAX_JOBS = 1_000;
export const DEFAULT_MAX_JOBS_PER_SUBJECT = 20;

export interface CronOptions {
  /** Jobs of one tenant; default 1,000. */
  readonly maxJobs?: number;
  /** Jobs of one subject in a tenant; default 20. */
  readonly maxJobsPerSubject?: number;
  /** Default: the system clock. */
  readonly clock?: Clock;
  /**
   * Takes one message from a sender's rate limit, whether connected or not; false when the limit is reached, and then
   * the run is skipped. Without it runs are not limited.
   */
  readonly charge?: (tenant: string, identity: string) => boolean;
}

/** The `op.cron` commands and what they publish (OPERATORS). */
export interface CronOperator extends Operator {
  /** Totals over all jobs since the start; `/metrics` reports them by outcome. */
  readonly counts: Readonly<CronCounts>;
  /** Applies new limits to later jobs. */
  adjust(limits: Pick<CronOptions, 'maxJobs' | 'maxJobsPerSubject'>): void;
  /** Keeps an event until the time in its options, and then publishes it as its sender. */
  readonly delay: DelayMessage;
}

/** op.cron: events that are published later. */
export function createCronOperator(bus: Core, options: CronOptions = {}): CronOperator {
  const { clock = systemClock(bus.options.now), charge = () => true } = options;
  const quota = quotaFrom(options);
  const scheduler = new Scheduler(bus, { clock, charge, quota });
  const ownerLeft = (tenant: string, identity: string): void => scheduler.ownerLeft(tenant, identity);
  return {
    commands: cronCommands(bus.access, scheduler),
    counts: scheduler.counts,
    adjust: (limits) => void Object.assign(quota, quotaFrom(limits)),
    delay: (sender, message) => scheduler.delay(sender, message),
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

function quotaFrom({ maxJobs, maxJobsPerSubject }: Pick<CronOptions, 'maxJobs' | 'maxJobsPerSubject'>): Quota {
  return {
    things: 'jobs',
    remedy: 'cancel some first, op.cron.list shows them',
    perSubject: maxJobsPerSubject ?? DEFAULT_MAX_JOBS_PER_SUBJECT,
    perTenant: maxJobs ?? DEFAULT_MAX_JOBS,
    subjectSetting: 'ARQONBUS_CRON_MAX_JOBS_PER_SUBJECT',
    tenantSetting: 'ARQONBUS_CRON_MAX_JOBS_PER_TENANT',
  };
}
