import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { longInterval, longTimeout, MAX_TIMER_MS } from './timers.ts';

const THIRTY_DAYS = 2_592_000_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe.each([
  [1],
  [60_000],
  [MAX_TIMER_MS],
  [MAX_TIMER_MS + 1],
  [THIRTY_DAYS],
  [3 * MAX_TIMER_MS],
  [315_360_000_000],
])('a delay of %d ms', (ms) => {
  it('is over when it is over, once', () => {
    const act = vi.fn();
    longTimeout(act, ms);
    vi.advanceTimersByTime(ms - 1);
    expect(act).toHaveBeenCalledTimes(0);
    vi.advanceTimersByTime(1);
    expect(act).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is called off at any time', () => {
    for (const after of [0, Math.floor(ms / 2), ms - 1]) {
      const act = vi.fn();
      const callOff = longTimeout(act, ms);
      vi.advanceTimersByTime(after);
      callOff();
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  it('comes again and again, until it is ended', () => {
    const act = vi.fn();
    const end = longInterval(act, ms);
    for (const times of [1, 2, 3]) {
      vi.advanceTimersByTime(ms - 1);
      expect(act).toHaveBeenCalledTimes(times - 1);
      vi.advanceTimersByTime(1);
      expect(act).toHaveBeenCalledTimes(times);
    }
    end();
    expect(vi.getTimerCount()).toBe(0);
  });
});
