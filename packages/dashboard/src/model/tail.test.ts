import type { Envelope } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { Tail } from './tail.ts';

const message = (n: number): Envelope =>
  ({ version: '1.0', id: `arq_${n}`, type: 'event', payload: { n }, metadata: { sequence: n } }) as unknown as Envelope;

function tailWithFrames(): { tail: Tail; frame: () => void; frames: () => number } {
  const due: (() => void)[] = [];
  let frames = 0;
  const tail = new Tail((run) => due.push(run));
  return {
    tail,
    frame: () => {
      frames += 1;
      for (const run of due.splice(0)) run();
    },
    frames: () => frames,
  };
}

const shown = (tail: Tail): (number | undefined)[] => tail.rows.value.map(({ sequence }) => sequence);

describe('Tail', () => {
  it('changes the list once a frame', () => {
    const { tail, frame } = tailWithFrames();
    let changes = -1;
    tail.rows.subscribe(() => {
      changes += 1;
    });
    for (let n = 1; n <= 50; n += 1) tail.push(message(n));
    expect(changes).toBe(0);
    frame();
    expect(changes).toBe(1);
    expect(shown(tail)).toHaveLength(50);
  });

  it('takes in the newest 200 of a frame and counts every other as skipped', () => {
    const { tail, frame } = tailWithFrames();
    for (let n = 1; n <= 10_000; n += 1) tail.push(message(n));
    frame();
    expect(tail.skipped.value).toBe(9_800);
    expect(shown(tail).at(0)).toBe(9_801);
    expect(shown(tail).at(-1)).toBe(10_000);
  });

  it('holds back while it is paused, within its bound, and goes on with what is newest', () => {
    const { tail, frame } = tailWithFrames();
    tail.push(message(1));
    frame();
    tail.pause(true);
    for (let n = 2; n <= 40; n += 1) tail.push(message(n));
    frame();
    expect(shown(tail)).toEqual([1]);
    expect(tail.waiting.value).toBe(39);
    for (let n = 41; n <= 20_000; n += 1) tail.push(message(n));
    frame();
    expect(tail.waiting.value).toBeLessThanOrEqual(5_000);
    tail.pause(false);
    expect(tail.waiting.value).toBe(0);
    expect(shown(tail).at(-1)).toBe(20_000);
    expect(shown(tail).length + tail.skipped.value).toBe(20_000);
  });

  it('keeps 5,000 rows', () => {
    const { tail, frame } = tailWithFrames();
    for (let n = 1; n <= 6_000; n += 1) {
      tail.push(message(n));
      if (n % 100 === 0) frame();
    }
    expect(shown(tail)).toHaveLength(5_000);
    expect(shown(tail)[0]).toBe(1_001);
    expect(tail.skipped.value).toBe(0);
  });

  it('keeps 32 Mi characters of payloads, those that wait behind the pause too', () => {
    const { tail, frame } = tailWithFrames();
    const large = (n: number): Envelope => ({ ...message(n), payload: { text: 'x'.repeat(1_000_000) } }) as Envelope;
    tail.pause(true);
    for (let n = 1; n <= 80; n += 1) tail.push(large(n));
    frame();
    expect(tail.waiting.value).toBe(33);
    tail.pause(false);
    expect([shown(tail).at(0), shown(tail).at(-1), tail.skipped.value]).toEqual([48, 80, 47]);
    tail.push(large(81));
    frame();
    expect([shown(tail).length, shown(tail).at(0)]).toEqual([33, 49]);
    tail.prepend([large(47), large(48)]);
    expect([shown(tail).length, shown(tail).at(0), shown(tail).at(-1)]).toEqual([33, 47, 79]);
  });

  it('takes older ones before what is shown', () => {
    const { tail, frame } = tailWithFrames();
    tail.push(message(3));
    frame();
    tail.prepend([message(1), message(2)]);
    expect(shown(tail)).toEqual([1, 2, 3]);
  });
});
