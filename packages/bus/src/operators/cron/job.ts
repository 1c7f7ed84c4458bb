import { BusError, type CronJob, type JsonObject } from '@arqonbus/protocol';
import type { Expiring } from '../../engine/expiry-heap.ts';
import type { PrincipalDocument } from '../../principal.ts';
import type { Owner } from '../owner.ts';
import type { DelayedMessage } from './delayed.ts';
import { dueTime, passedRuns, type Schedule } from './schedule.ts';

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
  /** What the owner was last known to be allowed. */
  readonly principal: PrincipalDocument;
  readonly durable: boolean;
  /** Of an event that its sender wanted to be delivered later. */
  readonly message?: DelayedMessage;
  readonly catchUp: boolean;
  readonly createdAt: number;
  /** Runs that were fired, and runs that were not: nobody was there, it was too late, or it was not allowed. */
  readonly iterations: number;
  readonly missed: number;
  /** When the last run was due that was fired or missed; null before the first. */
  readonly lastDue: number | null;
}

/** Bytes of a job's payload as JSON. */
const MAX_PAYLOAD_BYTES = 65_536;

/** Throws LIMIT_EXCEEDED for a payload that no job may have. */
export function requirePayload(payload: JsonObject): void {
  if (Buffer.byteLength(JSON.stringify(payload)) <= MAX_PAYLOAD_BYTES) return;
  throw new BusError('LIMIT_EXCEEDED', `A job's payload has at most ${MAX_PAYLOAD_BYTES} bytes.`, {
    field: 'payload',
    limit: MAX_PAYLOAD_BYTES,
  });
}

/** Runs of one absence that are counted; beyond it a job goes on from now. */
const MAX_COUNTED = 1_000;

/**
 * A job on its way to its next run. Its times are those of one clock: of the steady one for intervals, which nobody can
 * set, and of the machine's for cron expressions.
 */
export class Job implements Expiring {
  stored: StoredJob;
  readonly owner: Owner;
  /** Of its key in the store, as this node last saw it; 0 before it has one. */
  version: number;
  /** When it runs next, in milliseconds; null when it has ended. The heap calls a due time an end. */
  expiresAt: number | null;
  /** The run that this node has claimed in its cluster; 0 before any. */
  claimed = 0;
  /** Runs passed over since the last one that was not. */
  private behind = 0;

  constructor(stored: StoredJob, owner: Owner, version: number) {
    this.stored = stored;
    this.owner = owner;
    this.version = version;
    this.expiresAt = this.nextDue();
  }

  /** Number of the run that comes next, from 1; missed runs have their numbers too. */
  get nextIteration(): number {
    return this.stored.iterations + this.stored.missed + 1;
  }

  /** Books the run that was due and sets the next one. */
  ran(): void {
    this.behind = 0;
    this.stored = { ...this.stored, iterations: this.stored.iterations + 1, lastDue: this.expiresAt };
    this.expiresAt = this.nextDue();
  }

  /** A run that was booked as fired was not; or, after an absence, one that was booked as missed is made up for. */
  rebook(from: 'fired' | 'missed'): void {
    const moved = from === 'fired' ? 1 : -1;
    const { iterations, missed } = this.stored;
    this.stored = { ...this.stored, iterations: iterations - moved, missed: missed + moved };
  }

  /** The run that was booked could not be done now: it is due again at `due`, under the same number. */
  postpone(due: number): void {
    this.stored = { ...this.stored, iterations: this.stored.iterations - 1, lastDue: null };
    this.expiresAt = due;
  }

  /** Ends it, so that the heap passes over it. */
  end(): void {
    this.expiresAt = null;
  }

  /**
   * Books runs that it is too late for as missed and answers how many; 0 when the next one can be fired or waits. Call
   * it until then: runs of a cron expression are counted a few at a time, and of one absence not more than 1,000.
   */
  skip(now: number, which: 'past' | 'late'): number {
    if (this.expiresAt === null) return 0;
    const { schedule, missed } = this.stored;
    const passed = passedRuns(schedule, this.nextIteration, this.expiresAt, now, which);
    if (passed === null) return 0;
    this.behind += passed.count;
    const isLost = schedule.kind === 'cron' && this.behind >= MAX_COUNTED;
    this.stored = { ...this.stored, missed: missed + passed.count, lastDue: isLost ? now : passed.last };
    this.expiresAt = this.nextDue();
    return passed.count;
  }

  /**
   * As `op.cron.list` shows it.
   *
   * @param shift what its clock's time lacks to the machine's
   */
  record(shift: number): CronJob {
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
      created_at: new Date(createdAt + shift).toISOString(),
      next_run_at: this.expiresAt === null ? null : new Date(this.expiresAt + shift).toISOString(),
      iterations,
      missed,
    };
  }

  private nextDue(): number | null {
    const { schedule, createdAt, lastDue } = this.stored;
    return dueTime(schedule, createdAt, this.nextIteration, lastDue ?? createdAt);
  }
}
