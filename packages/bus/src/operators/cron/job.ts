import { BusError, type CronJob, type JsonObject } from '@arqonbus/protocol';
import type { Expiring } from '../../engine/expiry-heap.ts';
import type { PrincipalDocument } from '../../principal.ts';
import type { Owner } from '../owner.ts';
import type { DelayedMessage } from './delayed.ts';
import { dueTime, passedRuns, type Schedule } from './schedule.ts';

/** The full state of a job, stored as JSON in the key-value store. */
export interface StoredJob {
  readonly id: string;
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly payload: JsonObject;
  readonly schedule: Schedule;
  readonly owner: string;
  /** The owner's name in responses. */
  readonly ownerName: string;
  /** The owner's last known rights. */
  readonly principal: PrincipalDocument;
  readonly durable: boolean;
  /** Set for an event whose sender requested a later delivery. */
  readonly message?: DelayedMessage;
  readonly catchUp: boolean;
  readonly createdAt: number;
  /** Fired runs, and runs that were skipped: during an absence, too late, or not allowed. */
  readonly iterations: number;
  readonly missed: number;
  /** When the last fired or missed run was due; null before the first. */
  readonly lastDue: number | null;
}

/** Maximum bytes of a job's payload as JSON. */
const MAX_PAYLOAD_BYTES = 65_536;

/** Throws LIMIT_EXCEEDED for a payload that is too large. */
export function requirePayload(payload: JsonObject): void {
  if (Buffer.byteLength(JSON.stringify(payload)) <= MAX_PAYLOAD_BYTES) return;
  throw new BusError('LIMIT_EXCEEDED', `A job's payload has at most ${MAX_PAYLOAD_BYTES} bytes.`, {
    field: 'payload',
    limit: MAX_PAYLOAD_BYTES,
  });
}

/** Maximum missed runs counted per absence; after that the job continues from now. */
const MAX_COUNTED = 1_000;

/**
 * A job and its next run. Its times are those of one clock: the steady clock for intervals, which is unaffected by
 * clock changes, and the system clock for cron expressions.
 */
export class Job implements Expiring {
  stored: StoredJob;
  readonly owner: Owner;
  /** Version of its key in the store, as last seen by this node; 0 before it has one. */
  version: number;
  /** When it runs next, in milliseconds; null when it has ended. Named for the expiry heap. */
  expiresAt: number | null;
  /** The last run claimed by this node in its cluster; 0 without one. */
  claimed = 0;
  /** Runs skipped since the last one that was fired. */
  private behind = 0;

  constructor(stored: StoredJob, owner: Owner, version: number) {
    this.stored = stored;
    this.owner = owner;
    this.version = version;
    this.expiresAt = this.nextDue();
  }

  /** Number of the next run, from 1; missed runs are numbered too. */
  get nextIteration(): number {
    return this.stored.iterations + this.stored.missed + 1;
  }

  /** Counts the due run as fired and sets the next one. */
  ran(): void {
    this.behind = 0;
    this.stored = { ...this.stored, iterations: this.stored.iterations + 1, lastDue: this.expiresAt };
    this.expiresAt = this.nextDue();
  }

  /** Corrects the counts: a run counted as fired was not or, after an absence, a missed one is made up for. */
  rebook(from: 'fired' | 'missed'): void {
    const moved = from === 'fired' ? 1 : -1;
    const { iterations, missed } = this.stored;
    this.stored = { ...this.stored, iterations: iterations - moved, missed: missed + moved };
  }

  /** The counted run could not be done now: it is due again at `due`, under the same number. */
  postpone(due: number): void {
    this.stored = { ...this.stored, iterations: this.stored.iterations - 1, lastDue: null };
    this.expiresAt = due;
  }

  /** Ends it, so that the heap skips it. */
  end(): void {
    this.expiresAt = null;
  }

  /**
   * Counts runs that are too late as missed and returns their number; 0 when the next run can be fired or waits. Call
   * it until then: runs of a cron expression are counted a few at a time, and at most 1,000 per absence.
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
   * As shown by `op.cron.list`.
   *
   * @param shift offset from its clock to the system clock
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
