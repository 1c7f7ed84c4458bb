import type { CronJob, JsonObject } from '@arqonbus/protocol';
import type { Expiring } from '../../engine/expiry-heap.ts';
import { type Principal, type PrincipalDocument, readPrincipal } from '../../principal.ts';
import { dueTime, missedRuns, type Schedule } from './schedule.ts';

/** What is kept of a job, as JSON in the key-value store: all of it. */
export interface StoredJob {
  readonly id: string;
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly payload: JsonObject;
  readonly schedule: Schedule;
  readonly owner: string;
  /** How the owner is called in answers. */
  readonly ownerName: string;
  /** What the owner was allowed when it scheduled the job. */
  readonly principal: PrincipalDocument;
  readonly durable: boolean;
  readonly catchUp: boolean;
  readonly createdAt: number;
  /** Runs that were fired, and runs that came while nobody was there. */
  readonly iterations: number;
  readonly missed: number;
  /** When the last run was due that was fired or missed; null before the first. */
  readonly lastDue: number | null;
}

/** A job on its way to its next run. */
export class Job implements Expiring {
  stored: StoredJob;
  /** When it runs next, milliseconds since 1970; null when it has ended. The heap calls a due time an end. */
  expiresAt: number | null;

  constructor(stored: StoredJob) {
    this.stored = stored;
    this.expiresAt = this.nextDue();
  }

  /** Number of the run that comes next, from 1; missed runs have their numbers too. */
  get nextIteration(): number {
    return this.stored.iterations + this.stored.missed + 1;
  }

  /** Books the run that was due and sets the next one. */
  ran(): void {
    this.stored = { ...this.stored, iterations: this.stored.iterations + 1, lastDue: this.expiresAt };
    this.expiresAt = this.nextDue();
  }

  /** Ends it, so that the heap passes over it. */
  end(): void {
    this.expiresAt = null;
  }

  /**
   * Books the runs that were due before `now` while nobody was there: as missed, and with `catch_up` the first of them
   * as one to fire after all. Answers whether there is one to fire.
   */
  skipMissed(now: number): boolean {
    const { schedule, createdAt, catchUp, iterations, missed } = this.stored;
    const skipped = missedRuns(schedule, createdAt, this.nextIteration, this.expiresAt, now);
    if (skipped.count === 0) return false;
    const fired = catchUp ? 1 : 0;
    this.stored = {
      ...this.stored,
      iterations: iterations + fired,
      missed: missed + skipped.count - fired,
      lastDue: skipped.last,
    };
    this.expiresAt = this.nextDue();
    return catchUp;
  }

  /** Who it publishes as: its owner, with the grants of now or of when it was scheduled. */
  principal(live: Principal | undefined): Principal {
    if (live !== undefined) return live;
    return readPrincipal(this.stored.principal, this.stored.tenant);
  }

  /** As `op.cron.list` shows it. */
  record(): CronJob {
    const { id, room, channel, ownerName, durable, catchUp, createdAt, iterations, missed, schedule } = this.stored;
    const interval = schedule.kind === 'interval';
    return {
      job_id: id,
      room,
      channel,
      owner: ownerName,
      durable,
      delay_seconds: interval ? schedule.delaySeconds : null,
      interval_seconds: interval ? schedule.intervalSeconds : null,
      repeat_count: schedule.repeatCount,
      cron: interval ? null : schedule.expression,
      timezone: interval ? null : schedule.timezone,
      catch_up: catchUp,
      created_at: new Date(createdAt).toISOString(),
      next_run_at: this.expiresAt === null ? null : new Date(this.expiresAt).toISOString(),
      iterations,
      missed,
    };
  }

  private nextDue(): number | null {
    const { schedule, createdAt, lastDue } = this.stored;
    return dueTime(schedule, createdAt, this.nextIteration, lastDue ?? createdAt);
  }
}
