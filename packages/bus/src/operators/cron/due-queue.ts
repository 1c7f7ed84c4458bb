import type { Clock } from '../../clock.ts';
import { ExpiryHeap } from '../../engine/expiry-heap.ts';
import type { Job } from './job.ts';
import type { Schedule } from './schedule.ts';

/** Time slice for handling due jobs, in milliseconds, before yielding to other work. */
export const TURN_MS = 2;
/** Maximum time to notice a change of the system clock. */
const LOOK_MS = 60_000;

/** Jobs whose times are of the same clock. */
interface Timeline {
  readonly heap: ExpiryHeap<Job>;
  readonly now: () => number;
}

export interface DueQueueParts {
  readonly clock: Clock;
  /** Takes a due job; adds it again if it has another run. */
  readonly onDue: (job: Job, now: number) => void;
  /** Whether no more can be taken now; {@link DueQueue.arm} is called when that changes. */
  readonly isHeld: () => boolean;
}

/** All jobs of this node behind one timer, those of intervals on a clock that cannot be set. */
export class DueQueue {
  private readonly parts: DueQueueParts;
  /** Starts at the system time and then advances steadily. */
  private readonly interval: Timeline;
  private readonly cron: Timeline;
  private callOff: () => void = () => {};
  /** When the timer fires, by the steady clock; infinity without one. */
  private armedFor: number = Number.POSITIVE_INFINITY;
  /** Continues with the remaining due jobs. */
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

  /** The offset from a schedule's clock to the system clock; not 0 once that was set. */
  shift(schedule: Schedule): number {
    return Math.round(this.parts.clock.now() - this.now(schedule));
  }

  add(job: Job): void {
    this.timelineOf(job.stored.schedule).heap.add(job);
    this.arm();
  }

  /** Sets the timer for the next due job. */
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

  /** Handles due jobs for one time slice, and the rest after yielding to other work. */
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
