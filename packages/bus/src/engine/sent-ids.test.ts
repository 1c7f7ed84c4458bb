import { describe, expect, it } from 'vitest';
import { SentIds } from './sent-ids.ts';

const HOUR = 3_600_000;

describe('SentIds', () => {
  it('remember each id for its own window, whichever of the same id came first', () => {
    const sent = new SentIds(0);
    expect(sent.claim(1, 'ada', 'short', 7, 0, 120_000)).toBe(-1);
    expect(sent.claim(1, 'ada', 'long', 8, 0, HOUR)).toBe(-1);
    expect(sent.claim(1, 'ada', 'never', 9, 0, 0)).toBe(-1);
    expect([sent.find(1, 'ada', 'short', 1_000), sent.find(1, 'ada', 'long', 1_000)]).toEqual([7, 8]);
    expect(sent.find(1, 'ada', 'never', 1_000)).toBe(-1);
    expect([sent.claim(1, 'ada', 'short', 10, 1_000, HOUR), sent.claim(1, 'ada', 'long', 11, 1_000, 1_000)]).toEqual([
      7, 8,
    ]);
    const later = HOUR - 1_000;
    expect([sent.find(1, 'ada', 'short', later), sent.find(1, 'ada', 'long', later)]).toEqual([-1, 8]);
    expect(sent.find(1, 'ada', 'long', HOUR + 2_000)).toBe(-1);
  });

  it('have ids count for 120 s that find no room for longer, and tell so once a minute', () => {
    const sent = new SentIds(0, 100_000);
    const told: string[] = [];
    const tell = (now: number): number => {
      sent.sweep(now);
      sent.tell(now, (sentence) => void told.push(sentence));
      return told.length;
    };
    let last = 0;
    for (; last < 10_000; last += 1) expect(sent.claim(1, 'ada', `arq_${last}`, last, 0, HOUR)).toBe(-1);
    expect([tell(0), tell(1_000)]).toEqual([1, 1]);
    expect(told[0]).toMatch(/^\d+ messages of channels with long "dedupe_seconds" count as sent for 120 s only/);
    expect([sent.find(1, 'ada', 'arq_0', 119_000), sent.find(1, 'ada', 'arq_9999', 119_000)]).toEqual([0, 9_999]);
    expect([sent.find(1, 'ada', 'arq_0', 122_000), sent.find(1, 'ada', 'arq_9999', 122_000)]).toEqual([0, -1]);
    sent.claim(1, 'ada', 'more', 1, 30_000, HOUR);
    expect([tell(30_000), tell(59_000), tell(60_000), tell(200_000)]).toEqual([1, 1, 2, 2]);
    // Once they have lapsed there is room again.
    for (let step = 0; step < 32; step += 1) sent.sweep(HOUR + 2_000);
    sent.claim(1, 'ada', 'again', 5, HOUR + 2_000, HOUR);
    expect(sent.find(1, 'ada', 'again', 2 * HOUR)).toBe(5);
    expect(tell(2 * HOUR)).toBe(2);
  });
});
