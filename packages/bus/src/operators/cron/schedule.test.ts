import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dueTime, passedRuns, readSchedule } from './schedule.ts';

const START = Date.UTC(2026, 0, 1);

/** The first `count` due times of a schedule. */
function runs(args: Parameters<typeof readSchedule>[0], from: number, count: number): string[] {
  const schedule = readSchedule(args);
  const times: string[] = [];
  for (let iteration = 1, after = from; iteration <= count; iteration += 1) {
    const due = dueTime(schedule, from, iteration, after);
    if (due === null) break;
    times.push(new Date(due).toISOString());
    after = due;
  }
  return times;
}

describe('a schedule', () => {
  it('runs once a second later when nothing else is said', () => {
    expect(runs({}, START, 5)).toEqual(['2026-01-01T00:00:01.000Z']);
  });

  it('counts intervals from the start, so that nothing drifts', () => {
    const schedule = readSchedule({ delay_seconds: 0.5, interval_seconds: 0.1, repeat_count: 0 });
    for (const iteration of [1, 2, 10, 1_000_000]) {
      expect(dueTime(schedule, START, iteration, 0)).toBeCloseTo(START + 500 + (iteration - 1) * 100, 3);
    }
  });

  it('ends after its repeats, and with 0 never', () => {
    expect(runs({ delay_seconds: 1, interval_seconds: 2, repeat_count: 3 }, START, 10)).toHaveLength(3);
    expect(runs({ interval_seconds: 2, repeat_count: 0 }, START, 10)).toHaveLength(10);
    expect(runs({ cron: '* * * * *', repeat_count: 2 }, START, 10)).toHaveLength(2);
  });

  it('takes five fields, or six with seconds', () => {
    expect(runs({ cron: '*/5 * * * *' }, START, 2)).toEqual(['2026-01-01T00:05:00.000Z', '2026-01-01T00:10:00.000Z']);
    expect(runs({ cron: '*/20 * * * * *' }, START, 2)).toEqual([
      '2026-01-01T00:00:20.000Z',
      '2026-01-01T00:00:40.000Z',
    ]);
  });

  it('keeps to the clock on the wall when summer time begins and ends', () => {
    const berlin = { cron: '30 8 * * *', timezone: 'Europe/Berlin' };
    expect(runs(berlin, Date.UTC(2026, 2, 27, 12), 3)).toEqual([
      '2026-03-28T07:30:00.000Z',
      '2026-03-29T06:30:00.000Z',
      '2026-03-30T06:30:00.000Z',
    ]);
    expect(runs(berlin, Date.UTC(2026, 9, 23, 12), 3)).toEqual([
      '2026-10-24T06:30:00.000Z',
      '2026-10-25T07:30:00.000Z',
      '2026-10-26T07:30:00.000Z',
    ]);
  });

  it('fires once in the hour that summer time skips, and does not skip the day', () => {
    const [first, second] = runs({ cron: '30 2 * * *', timezone: 'Europe/Berlin' }, Date.UTC(2026, 2, 28, 12), 2);
    expect(first?.slice(0, 10)).toBe('2026-03-29');
    expect(second).toBe('2026-03-30T00:30:00.000Z');
  });

  it.each([
    [{ repeat_count: 2 }, 'interval_seconds'],
    [{ repeat_count: 0 }, 'interval_seconds'],
    [{ cron: '* * * * *', interval_seconds: 1 }, 'interval_seconds'],
    [{ cron: '* * * * *', delay_seconds: 1 }, 'delay_seconds'],
    [{ timezone: 'Europe/Berlin' }, 'timezone'],
    [{ cron: '* * * * *', timezone: 'Mars/Olympus' }, 'timezone'],
    [{ cron: 'every day' }, 'cron'],
    [{ cron: '99 * * * *' }, 'cron'],
    [{ cron: '* * * * * * *' }, 'cron'],
    [{ cron: '0 0 31 2 *' }, 'cron'],
  ])('refuses %j and names "%s"', (args, field) => {
    expect(() => readSchedule(args)).toThrow(expect.objectContaining({ code: 'VALIDATION_ERROR', details: { field } }));
  });
});

describe('runs that passed', () => {
  it('of intervals are those before now, not more than were left', () => {
    const schedule = readSchedule({ delay_seconds: 10, interval_seconds: 10, repeat_count: 5 });
    const past = (now: number): object | null => passedRuns(schedule, 1, START + 10_000, START + now, 'past');
    expect(past(10_000)).toBeNull();
    expect(past(10_001)).toEqual({ count: 1, last: START + 10_000 });
    expect(past(35_000)).toEqual({ count: 3, last: START + 30_000 });
    expect(past(9_999_999)).toEqual({ count: 5, last: START + 50_000 });
  });

  it('are late when another run is due as well', () => {
    const schedule = readSchedule({ delay_seconds: 10, interval_seconds: 10, repeat_count: 5 });
    const late = (now: number): object | null => passedRuns(schedule, 1, START + 10_000, START + now, 'late');
    expect(late(10_001)).toBeNull();
    expect(late(19_999)).toBeNull();
    expect(late(35_000)).toEqual({ count: 2, last: START + 20_000 });
    expect(late(59_999)).toEqual({ count: 4, last: START + 40_000 });
    expect(late(60_000)).toEqual({ count: 5, last: START + 50_000 });
    expect(passedRuns(readSchedule({}), 1, START, START + 86_400_000, 'late')).toBeNull();
  });

  it('of a cron expression are counted, a few at a time', () => {
    const schedule = readSchedule({ cron: '* * * * *' });
    const first = dueTime(schedule, START, 1, START) as number;
    const passed = (now: number, which: 'past' | 'late'): object | null =>
      passedRuns(schedule, 1, first, START + now, which);
    expect(passed(150_000, 'past')).toEqual({ count: 2, last: START + 120_000 });
    expect(passed(150_000, 'late')).toEqual({ count: 1, last: START + 60_000 });
    expect(passed(86_400_000, 'past')).toEqual({ count: 25, last: START + 25 * 60_000 });
    const twice = readSchedule({ cron: '* * * * *', repeat_count: 2 });
    expect(passedRuns(twice, 1, first, START + 86_400_000, 'late')).toEqual({ count: 2, last: START + 120_000 });
  });

  it('agree with counting one by one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 0, max: 2_000 }),
        (interval, repeat, now) => {
          const schedule = readSchedule({ delay_seconds: 1, interval_seconds: interval, repeat_count: repeat });
          const count = { past: 0, late: 0 };
          for (let k = 1; ; k += 1) {
            const due = dueTime(schedule, 0, k, 0);
            if (due === null || due >= now * 1_000) break;
            count.past += 1;
            if (due + interval * 1_000 <= now * 1_000) count.late += 1;
          }
          for (const which of ['past', 'late'] as const) {
            expect(passedRuns(schedule, 1, 1_000, now * 1_000, which)?.count ?? 0).toBe(count[which]);
          }
        },
      ),
      { seed: 5 },
    );
  });
});
