import { BusError } from '@arqonbus/protocol';
import { Cron } from 'croner';

/** When a job runs: after a delay and then at an interval, or by a cron expression. Seconds as given. */
export type Schedule =
  | {
      readonly kind: 'interval';
      readonly delaySeconds: number;
      /** Null: runs once. */
      readonly intervalSeconds: number | null;
      /** 0: until cancelled. */
      readonly repeatCount: number;
    }
  | {
      readonly kind: 'cron';
      readonly expression: string;
      /** IANA name. */
      readonly timezone: string;
      readonly repeatCount: number;
    };

/** The schedule arguments of `op.cron.schedule`. */
export interface ScheduleArguments {
  readonly delay_seconds?: number;
  readonly interval_seconds?: number;
  readonly repeat_count?: number;
  readonly cron?: string;
  readonly timezone?: string;
}

const DEFAULT_DELAY_SECONDS = 1;

/** Reads a schedule. Throws VALIDATION_ERROR naming the argument that does not fit the others. */
export function readSchedule(args: ScheduleArguments): Schedule {
  const { cron, timezone, interval_seconds: interval, delay_seconds: delay, repeat_count: repeat } = args;
  if (cron === undefined) {
    if (timezone !== undefined) throw invalid('timezone', 'goes with "cron"; leave it out, or give an expression');
    if (repeat !== undefined && repeat !== 1 && interval === undefined) {
      throw invalid('interval_seconds', 'is needed when a job runs more than once');
    }
    return {
      kind: 'interval',
      delaySeconds: delay ?? DEFAULT_DELAY_SECONDS,
      intervalSeconds: interval ?? null,
      repeatCount: repeat ?? 1,
    };
  }
  for (const [field, value] of [
    ['interval_seconds', interval],
    ['delay_seconds', delay],
  ] as const) {
    if (value !== undefined) throw invalid(field, 'does not go with "cron"; use one or the other');
  }
  const schedule: Schedule = { kind: 'cron', expression: cron, timezone: timezone ?? 'UTC', repeatCount: repeat ?? 0 };
  assertTimezone(schedule.timezone);
  if (nextCronRun(schedule, 0) === null) throw invalid('cron', 'never comes true');
  return schedule;
}

/**
 * When run number `iteration` (from 1) is due, in milliseconds since 1970; null when there is none. Intervals are
 * counted from the start, so that a late run does not delay later ones.
 *
 * @param after for a cron expression: only later than this
 */
export function dueTime(schedule: Schedule, startedAt: number, iteration: number, after: number): number | null {
  if (schedule.repeatCount > 0 && iteration > schedule.repeatCount) return null;
  if (schedule.kind === 'cron') return nextCronRun(schedule, after);
  const first = startedAt + schedule.delaySeconds * 1000;
  if (iteration === 1) return first;
  return schedule.intervalSeconds === null ? null : first + (iteration - 1) * schedule.intervalSeconds * 1000;
}

/** Maximum runs of a cron expression counted per call: each costs about 60 µs. */
const MAX_COUNTED = 25;

export interface PassedRuns {
  readonly count: number;
  /** When the last of them was due. */
  readonly last: number;
}

/**
 * The runs, from number `iteration` due at `due`, that are too late at `now`; null when there are none. At most 25 runs
 * of a cron expression are counted: call again, from the next one.
 *
 * @param which `past`: all that were due before now; `late`: those followed by another due run, so that the newest can
 * still be made up for. A single run is never `late`.
 */
export function passedRuns(
  schedule: Schedule,
  iteration: number,
  due: number,
  now: number,
  which: 'past' | 'late',
): PassedRuns | null {
  if (due >= now) return null;
  if (schedule.kind === 'interval') {
    const intervalMs = (schedule.intervalSeconds ?? 0) * 1000;
    if (intervalMs === 0) return which === 'past' ? { count: 1, last: due } : null;
    const passed = which === 'past' ? Math.ceil((now - due) / intervalMs) : Math.floor((now - due) / intervalMs);
    const left = schedule.repeatCount === 0 ? passed : schedule.repeatCount - iteration + 1;
    const count = Math.min(passed, left);
    return count === 0 ? null : { count, last: due + (count - 1) * intervalMs };
  }
  let count = 0;
  let last = due;
  for (let run: number | null = due; run !== null && count < MAX_COUNTED; ) {
    const follower = nextCronRun(schedule, run);
    const isOver = which === 'past' ? run < now : follower !== null && follower <= now;
    if (!isOver) break;
    count += 1;
    last = run;
    run = schedule.repeatCount > 0 && iteration + count > schedule.repeatCount ? null : follower;
  }
  return count === 0 ? null : { count, last };
}

/** Compiling an expression costs as much as evaluating it. */
const COMPILED: WeakMap<Schedule, Cron> = new WeakMap();

function nextCronRun(schedule: Extract<Schedule, { kind: 'cron' }>, after: number): number | null {
  if (![5, 6].includes(schedule.expression.trim().split(/\s+/).length)) {
    throw invalid('cron', 'has five fields, or six with seconds first');
  }
  try {
    let cron = COMPILED.get(schedule);
    if (cron === undefined) {
      cron = new Cron(schedule.expression, { paused: true, timezone: schedule.timezone });
      COMPILED.set(schedule, cron);
    }
    return cron.nextRun(new Date(after))?.getTime() ?? null;
  } catch {
    throw invalid('cron', 'is not a cron expression; an example: "*/5 9-17 * * MON-FRI"');
  }
}

function assertTimezone(name: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
  } catch {
    throw invalid('timezone', 'is not an IANA time zone, such as Europe/Berlin');
  }
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
