import { describe, expect, it } from 'vitest';
import { WaitingLine } from './waiting.ts';

describe('the line of those that wait', () => {
  it('keeps its order although one in the middle gives up', async () => {
    const line = new WaitingLine();
    const order: string[] = [];
    let finish: () => void = () => {};
    const never = new AbortController().signal;
    const first = line.enter('a', ['k'], never, () => new Promise<void>((resolve) => (finish = resolve)));
    const leaving = new AbortController();
    const second = line.enter('b', ['k', 'l'], leaving.signal, async () => void order.push('second'));
    const third = line.enter('c', ['l'], never, async () => void order.push('third'));
    leaving.abort('gone');
    await expect(second).rejects.toBe('gone');
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([]);
    finish();
    await Promise.all([first, third]);
    expect(order).toEqual(['third']);
  });

  it('has room for 10,000 of a node, and for others when they are through', async () => {
    const line = new WaitingLine();
    const ends: AbortController[] = [];
    const enter = (n: number): Promise<string> => {
      const end = new AbortController();
      ends.push(end);
      return line.enter(`owner-${n}`, [`k${n}`], end.signal, () => hanging(end.signal));
    };
    const waiting = Array.from({ length: 10_000 }, (_, n) => enter(n).catch(() => 'gone'));
    await expect(enter(10_000)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 10_000 } });
    for (const end of ends) end.abort('over');
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['gone']));
    const later = new AbortController().signal;
    expect(await line.enter('later', ['k0'], later, async () => 'in')).toBe('in');
  });
});

/** Rejects when the signal is aborted. */
function hanging(signal: AbortSignal): Promise<string> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}
