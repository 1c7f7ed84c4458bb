import { describe, expect, it } from 'vitest';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { Breaker, FAILURES_TO_OPEN, OPEN_MS } from './breaker.ts';

function opened(clock: FakeClock): Breaker {
  const breaker = new Breaker(clock);
  for (let n = 1; n < FAILURES_TO_OPEN; n += 1) expect(breaker.failed()).toBe(false);
  expect(breaker.isOpen).toBe(false);
  expect(breaker.failed()).toBe(true);
  return breaker;
}

describe('a breaker', () => {
  it('opens after as many failures in a row, and not when an answer came between', () => {
    const breaker = new Breaker(new FakeClock());
    for (let n = 1; n < FAILURES_TO_OPEN; n += 1) breaker.failed();
    expect(breaker.succeeded()).toBe(false);
    for (let n = 1; n < FAILURES_TO_OPEN; n += 1) expect(breaker.failed()).toBe(false);
    expect(breaker.mayAsk()).toBe(true);
    expect(opened(new FakeClock()).mayAsk()).toBe(false);
  });

  it('lets one question through when its time is over, whose answer closes it', () => {
    const clock = new FakeClock();
    const breaker = opened(clock);
    clock.advance(OPEN_MS - 1);
    expect(breaker.mayAsk()).toBe(false);
    clock.advance(1);
    expect([breaker.mayAsk(), breaker.mayAsk()]).toEqual([true, false]);
    expect(breaker.succeeded()).toBe(true);
    expect([breaker.isOpen, breaker.mayAsk(), breaker.mayAsk()]).toEqual([false, true, true]);
  });

  it('stays open for as long again when that question fails, and tells nobody a second time', () => {
    const clock = new FakeClock();
    const breaker = opened(clock);
    clock.advance(OPEN_MS);
    expect(breaker.mayAsk()).toBe(true);
    expect(breaker.failed()).toBe(false);
    expect(breaker.mayAsk()).toBe(false);
    clock.advance(OPEN_MS);
    expect(breaker.mayAsk()).toBe(true);
  });

  it('is not lengthened by what was asked before it opened', () => {
    const clock = new FakeClock();
    const breaker = opened(clock);
    clock.advance(OPEN_MS - 1);
    expect(breaker.failed()).toBe(false);
    clock.advance(1);
    expect(breaker.mayAsk()).toBe(true);
  });
});
