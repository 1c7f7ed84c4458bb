import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from './clock.ts';

describe('the machine’s clock', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('waits longer than one timer can', () => {
    let called = 0;
    systemClock().after(2 ** 31 + 5_000, () => {
      called += 1;
    });
    vi.advanceTimersByTime(2 ** 31 + 4_999);
    expect(called).toBe(0);
    vi.advanceTimersByTime(1);
    expect(called).toBe(1);
  });

  it('calls nothing back that was called off, in the second of its timers either', () => {
    let called = 0;
    const callOff = systemClock().after(2 ** 31 + 5_000, () => {
      called += 1;
    });
    vi.advanceTimersByTime(2 ** 31);
    callOff();
    vi.advanceTimersByTime(10_000);
    expect(called).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
