import { describe, expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';

describe('FakeClock', () => {
  it('fires what falls due, in its order, at its time', async () => {
    const clock = new FakeClock(1_000);
    const fired: [string, number][] = [];
    const note = (name: string) => (): void => void fired.push([name, clock.now()]);
    clock.setTimeout(note('late'), 300);
    clock.setTimeout(note('early'), 100);
    clock.setTimeout(note('second early'), 100);
    const never = clock.setTimeout(note('never'), 200);
    clock.clearTimeout(never);
    await clock.advance(299);
    expect(fired).toEqual([
      ['early', 1_100],
      ['second early', 1_100],
    ]);
    expect(clock.pending).toBe(1);
    await clock.advance(1);
    expect(fired.at(-1)).toEqual(['late', 1_300]);
    expect(clock.pending).toBe(0);
  });

  it('lets promises settle between timers, and fires timers that timers set', async () => {
    const clock = new FakeClock(0);
    const seen: string[] = [];
    const wait = (ms: number): Promise<void> => new Promise((resolve) => clock.setTimeout(resolve, ms));
    const work = (async () => {
      for (const step of ['one', 'two', 'three']) {
        await wait(10);
        seen.push(`${step} at ${clock.now()}`);
      }
    })();
    await clock.advance(30);
    await work;
    expect(seen).toEqual(['one at 10', 'two at 20', 'three at 30']);
  });
});
