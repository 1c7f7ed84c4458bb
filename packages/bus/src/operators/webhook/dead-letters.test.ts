import { describe, expect, it } from 'vitest';
import { DeadLetters, type Letter, type LetterStore, MAX_DEAD_LETTERS } from './dead-letters.ts';

function letter(n: number, text = '{}'): Letter {
  const failedAt = new Date(n).toISOString();
  return { id: `dlv_${n}`, room: 'science', channel: 'a', text, attempts: 1, error: 'HTTP 500', failedAt };
}

/** Notes what it is asked for. */
class Store implements LetterStore {
  readonly kept = new Set<string>();
  fail = false;

  save({ id }: Letter): void {
    if (this.fail) throw new Error('away');
    this.kept.add(id);
  }

  remove(id: string): boolean {
    if (this.fail) throw new Error('away');
    return this.kept.delete(id);
  }
}

describe('DeadLetters', () => {
  it('keeps the last 1,000, here and in the store', async () => {
    const store = new Store();
    const letters = new DeadLetters(store, (error) => expect.fail(String(error)));
    for (let n = 0; n < MAX_DEAD_LETTERS + 5; n += 1) await letters.add(letter(n));
    expect(letters.size).toBe(MAX_DEAD_LETTERS);
    expect(letters.all()[0]?.id).toBe('dlv_5');
    expect([...store.kept]).toEqual(letters.all().map(({ id }) => id));
  });

  it('keeps 8 MiB, and at least the newest', () => {
    const letters = new DeadLetters(null, (error) => expect.fail(String(error)));
    const mebibyte = 'x'.repeat(1024 * 512);
    for (let n = 0; n < 9; n += 1) letters.add(letter(n, mebibyte));
    expect(letters.all().map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `dlv_${n}`));
    letters.add(letter(9, mebibyte.repeat(9)));
    expect(letters.all().map(({ id }) => id)).toEqual(['dlv_9']);
    letters.add(letter(10));
    expect(letters.all().map(({ id }) => id)).toEqual(['dlv_10']);
  });

  it('gives a letter to one taker', async () => {
    const store = new Store();
    const letters = new DeadLetters(store, (error) => expect.fail(String(error)));
    await letters.add(letter(1));
    expect(await Promise.all([letters.take('dlv_1'), letters.take('dlv_1')])).toEqual([letter(1), undefined]);
    await letters.add(letter(2));
    // Another node was quicker.
    store.kept.clear();
    expect(await letters.take('dlv_2')).toBeUndefined();
    expect(letters.size).toBe(0);
  });

  it('loses nothing to a store that is away', async () => {
    const store = new Store();
    const faults: unknown[] = [];
    const letters = new DeadLetters(store, (error) => faults.push(error));
    store.fail = true;
    await letters.add(letter(1));
    expect(faults.length).toBe(1);
    await expect(letters.take('dlv_1')).rejects.toThrow('away');
    expect(letters.all()).toEqual([letter(1)]);
  });
});
