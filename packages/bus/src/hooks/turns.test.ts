import { describe, expect, it } from 'vitest';
import { MAX_AT_ONCE, MAX_PER_SENDER, Turns, Waiting } from './turns.ts';

/** Questions that are answered when the test says so. */
function asking(turns: Turns) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const ask = (sender: string, name: string, size = 1): Promise<void> =>
    turns.take(sender, size, () => {
      begun.push(name);
      return new Promise((resolve) => ends.set(name, resolve));
    });
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { begun, ask, end };
}

describe('turns', () => {
  it('gives one sender so many at once, and another its own beside them', async () => {
    const { begun, ask, end } = asking(new Turns(new Waiting({ questions: 100, size: 100 })));
    for (let n = 0; n < MAX_PER_SENDER + 2; n += 1) void ask('ada', `a${n}`);
    expect(begun).toHaveLength(MAX_PER_SENDER);
    void ask('bob', 'b');
    expect(begun.at(-1)).toBe('b');
    await end('a0');
    expect(begun.at(-1)).toBe(`a${MAX_PER_SENDER}`);
  });

  it('gives a backend so many at once, and senders that wait their turns one after the other', async () => {
    const { begun, ask, end } = asking(new Turns(new Waiting({ questions: 100, size: 100 })));
    for (let n = 0; n < MAX_AT_ONCE; n += 1) void ask(`s${n}`, `s${n}`);
    for (const name of ['a1', 'a2', 'a3']) void ask('ada', name);
    void ask('bob', 'b1');
    expect(begun).toHaveLength(MAX_AT_ONCE);
    for (let n = 0; n < 4; n += 1) await end(`s${n}`);
    expect(begun.slice(MAX_AT_ONCE)).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it.each([
    ['questions', { questions: 1, size: 100 }],
    ['bytes', { questions: 100, size: 15 }],
  ])('lets no more wait than its bound of %s, and takes more when some have begun', async (_what, bounds) => {
    const { ask, begun, end } = asking(new Turns(new Waiting(bounds)));
    for (let n = 0; n < MAX_PER_SENDER; n += 1) void ask('ada', `a${n}`, 10);
    void ask('ada', 'waits', 10);
    await expect(ask('ada', 'refused', 10)).rejects.toThrow('too many questions wait already');
    await end('a0');
    expect(begun.at(-1)).toBe('waits');
    void ask('ada', 'waits too', 10);
    await end('a1');
    expect(begun.at(-1)).toBe('waits too');
  });

  it('goes on after a question that failed', async () => {
    const turns = new Turns(new Waiting({ questions: 100, size: 100 }));
    for (let n = 0; n < MAX_PER_SENDER; n += 1) {
      await expect(turns.take('ada', 1, () => Promise.reject(new Error('away')))).rejects.toThrow('away');
    }
    expect(await turns.take('ada', 1, async () => 'here')).toBe('here');
    expect(turns.isIdle).toBe(true);
  });
});
