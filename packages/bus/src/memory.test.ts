import { BusError } from '@arqonbus/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryGuard } from './memory.ts';

const LIMIT = 100_000;

let heap = 0;
let told: [isFull: boolean, used: number][] = [];
let guard: MemoryGuard;

function refusal(): unknown {
  try {
    guard.requireRoom();
    return null;
  } catch (error) {
    return error;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  heap = 0;
  told = [];
  guard = new MemoryGuard(
    LIMIT,
    (isFull, used) => told.push([isFull, used]),
    () => heap,
  );
});

afterEach(() => {
  guard.stop();
  vi.useRealTimers();
});

describe('the guard of memory', () => {
  it('refuses what is new beyond its limit, tells so once, and takes it again when the heap has fallen by a tenth', () => {
    heap = LIMIT;
    vi.advanceTimersByTime(1_000);
    expect([guard.isFull, refusal(), told]).toEqual([false, null, []]);
    heap = LIMIT + 1;
    vi.advanceTimersByTime(1_000);
    expect(guard.isFull).toBe(true);
    expect(refusal()).toBeInstanceOf(BusError);
    expect(refusal()).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: LIMIT } });
    expect(guard.refused).toBe(2);
    heap = LIMIT * 0.95;
    vi.advanceTimersByTime(1_000);
    expect(guard.isFull).toBe(true);
    heap = LIMIT * 0.9;
    vi.advanceTimersByTime(1_000);
    expect([guard.isFull, refusal()]).toEqual([false, null]);
    expect(told).toEqual([
      [true, LIMIT + 1],
      [false, LIMIT * 0.9],
    ]);
  });

  it('looks at the heap early when much is received', () => {
    heap = 2 * LIMIT;
    for (let n = 0; n < 8; n += 1) guard.received(1_048_576);
    expect(guard.isFull).toBe(false);
    guard.received(1);
    expect(guard.isFull).toBe(true);
  });

  it('takes a share of what the heap may grow to when it is given no limit', () => {
    const other = new MemoryGuard(
      0,
      () => {},
      () => 0,
    );
    expect(other.limit).toBeGreaterThan(10 * 1_048_576);
    other.stop();
  });
});
