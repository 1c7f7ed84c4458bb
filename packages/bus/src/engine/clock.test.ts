import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ClockWatch, ForwardClock, steadyNow } from './clock.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('steadyNow', () => {
  it('goes on as before when the clock of the machine is set', () => {
    const before = steadyNow();
    expect(Number.isInteger(before)).toBe(true);
    expect(Math.abs(before - Date.now())).toBeLessThan(5_000);
    for (const step of [86_400_000, -172_800_000]) {
      vi.setSystemTime(Date.now() + step);
      expect(steadyNow() - before).toBeGreaterThanOrEqual(0);
      expect(steadyNow() - before).toBeLessThan(5_000);
    }
  });
});

describe('ForwardClock', () => {
  it('goes on from the latest time that it was told of', () => {
    let source = 1_000;
    const clock = new ForwardClock(() => source);
    clock.notBefore(500);
    expect(clock.now()).toBe(1_000);
    clock.notBefore(4_000);
    expect(clock.now()).toBe(4_000);
    source += 250;
    expect(clock.now()).toBe(4_250);
    clock.notBefore(4_100);
    expect(clock.now()).toBe(4_250);
  });
});

describe('ClockWatch', () => {
  const told: string[] = [];
  let watch: ClockWatch;
  const watching = (backendNow: ConstructorParameters<typeof ClockWatch>[0]): void => {
    told.length = 0;
    watch = new ClockWatch(backendNow, 'the other: fix it.', (warning) => void told.push(warning));
    watch.start();
  };
  afterEach(() => watch.stop());

  it('warns once a minute as long as the clocks are more than 5 s apart', async () => {
    let offset = 5_000;
    watching(() => Date.now() + offset);
    watch.look();
    expect(watch.warning).toBeNull();
    offset = 5_001;
    watch.look();
    expect(watch.warning).toBe('The clock of this machine is 5 s behind the other: fix it.');
    offset = -130_000;
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(180_000);
    expect(told).toEqual(new Array(3).fill('The clock of this machine is 130 s ahead of the other: fix it.'));
    offset = 0;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(watch.warning).toBeNull();
    expect(told).toHaveLength(3);
  });

  it('keeps what it found while the backend does not answer, and takes half the way of an answer into account', async () => {
    let answer: () => Promise<number | null> = async () => null;
    watching(() => answer());
    await watch.look();
    expect(watch.warning).toBeNull();
    answer = async () => {
      const there = Date.now() + 4_000;
      // Eight seconds on the way, half of them before the clock was read.
      vi.setSystemTime(Date.now() + 8_000);
      return there;
    };
    await watch.look();
    expect(watch.warning).toBeNull();
    answer = async () => Date.now() - 10_000;
    await watch.look();
    expect(watch.warning).toContain('10 s ahead');
    answer = () => Promise.reject(new Error('away'));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(watch.warning).toContain('10 s ahead');
    expect(told).toEqual([]);
  });
});
