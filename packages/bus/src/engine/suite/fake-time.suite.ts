import { vi } from 'vitest';

/** The time of an engine whose clock is a test's: it moves only by `elapse`, whatever the machine's clock is set to. */
export interface FakeTime {
  /** Milliseconds since 1970. */
  now(): number;
  /** Moves the clock, the machine's clock and its timers on. */
  elapse(ms: number): Promise<void>;
  stop(): void;
}

export function fakeTime(): FakeTime {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  let time = Date.now();
  return {
    now: () => time,
    async elapse(ms) {
      time += ms;
      await vi.advanceTimersByTimeAsync(ms);
    },
    stop: () => void vi.useRealTimers(),
  };
}
