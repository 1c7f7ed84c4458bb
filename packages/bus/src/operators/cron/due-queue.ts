import type { Clock } from '../../clock.ts';
import { ExpiryHeap } from '../../engine/expiry-heap.ts';
import type { Job } from './job.ts';
import type { Schedule } from './schedule.ts';

/** Due jobs are handed on for this long at a time; then others have their turn. */
export const TURN_MS = 2;
/** How long it may take to notice that the machine's clock was set. */
const LOOK_MS = 60_000;

/** Jobs whose times are of the same clock. */
interface Timeline {
  readonly heap: ExpiryHeap<Job>;
  readonly now: () => number;
}

export interface DueQueueParts {
  readonly clock: Clock;
  /** Takes a job that is due; adds it again when it has another run. */
  readonly onDue: (job: Job, now: number) => void;
  /** Whether no more can be taken just now; {@link DueQueue.arm} is called when that has changed. */
  readonly isHeld: () => boolean;
}

/** All jobs of this node behind one timer, those of intervals by a clock that nobody can set. */
export class DueQueue {
  private readonly parts: DueQueueParts;
  /** Begins as the machine's time, and then goes on steadily. */
  private readonly interval: Timeline;
  private readonly cron: Timeline;
  private callOff: () => void = () => {};
  /** When the timer rings, by the steady clock; infinity without one. */
  private armedFor: number = Number.POSITIVE_INFINITY;
  /** The rest of the due jobs, whose turn comes next. */
  private rest: NodeJS.Immediate | undefined;

  constructor(parts: DueQueueParts) {
    const { clock } = parts;
    const origin = clock.now() - clock.steady();
    this.parts = parts;
    this.interval = { heap: new ExpiryHeap(), now: () => origin + clock.steady() };
    this.cron = { heap: new ExpiryHeap(), now: () => clock.now() };
  }

  /** The time of a schedule's clock, in milliseconds. */
  now(schedule: Schedule): number {
    return this.timelineOf(schedule).now();
  }

  /** What a schedule's clock lacks to the machine's: something once that was set. */
  shift(schedule: Schedule): number {
    return Math.round(this.parts.clock.now() - this.now(schedule));
  }

  add(job: Job): void {
    this.timelineOf(job.stored.schedule).heap.add(job);
    this.arm();
  }

  /** Sees to it that the timer rings when the next job is due. */
  arm(): void {
    const { clock, isHeld } = this.parts;
    if (this.rest !== undefined || isHeld()) return;
    const untilCron = this.untilNext(this.cron);
    const wait = Math.min(
      this.untilNext(this.interval),
      untilCron === Number.POSITIVE_INFINITY ? untilCron : Math.min(untilCron, LOOK_MS),
    );
    const due = clock.steady() + wait;
    if (due >= this.armedFor) return;
    this.callOff();
    this.armedFor = due;
    this.callOff = clock.after(wait, () => {
      this.armedFor = Number.POSITIVE_INFINITY;
      this.ring();
    });
  }

  stop(): void {
    this.callOff();
    clearImmediate(this.rest);
    this.rest = undefined;
  }

  /** Hands on what is due, for a limited time; the rest after others had their turn. */
  private ring(): void {
    const { clock, onDue, isHeld } = this.parts;
    this.rest = undefined;
    const end = clock.steady() + TURN_MS;
    for (const { heap, now } of [this.interval, this.cron]) {
      while (!isHeld()) {
        const job = heap.take(now());
        if (job === undefined) break;
        onDue(job, now());
        if (clock.steady() < end) continue;
        this.rest = setImmediate(() => this.ring());
        return;
      }
    }
    this.arm();
  }

  private timelineOf({ kind }: Schedule): Timeline {
    return kind === 'cron' ? this.cron : this.interval;
  }

  private untilNext({ heap, now }: Timeline): number {
    const next = heap.next();
    return next === null ? Number.POSITIVE_INFINITY : Math.max(0, next - now());
  }
}
