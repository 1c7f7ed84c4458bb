import { describe, expect, it } from 'vitest';
import { type DeadLetterStore, DeadLetters, type FailedDelivery, MAX_DEAD_LETTERS } from './dead-letters.ts';

function failure(n: number, text = '{}'): FailedDelivery {
  const failedAt = new Date(n).toISOString();
  return { id: `dlv_${n}`, room: 'science', channel: 'a', text, attempts: 1, error: 'HTTP 500', failedAt };
}

/** Notes what it is asked for. */
class Store implements DeadLetterStore {
  readonly kept = new Set<string>();
  fail = false;

  save({ id }: FailedDelivery): void {
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
    const deadLetters = new DeadLetters(store, (error) => expect.fail(String(error)));
    for (let n = 0; n < MAX_DEAD_LETTERS + 5; n += 1) await deadLetters.add(failure(n));
    expect(deadLetters.size).toBe(MAX_DEAD_LETTERS);
    expect(deadLetters.all()[0]?.id).toBe('dlv_5');
    expect([...store.kept]).toEqual(deadLetters.all().map(({ id }) => id));
  });

  it('keeps 8 MiB, and at least the newest', () => {
    const deadLetters = new DeadLetters(null, (error) => expect.fail(String(error)));
    const mebibyte = 'x'.repeat(1024 * 512);
    for (let n = 0; n < 9; n += 1) deadLetters.add(failure(n, mebibyte));
    expect(deadLetters.all().map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `dlv_${n}`));
    deadLetters.add(failure(9, mebibyte.repeat(9)));
    expect(deadLetters.all().map(({ id }) => id)).toEqual(['dlv_9']);
    deadLetters.add(failure(10));
    expect(deadLetters.all().map(({ id }) => id)).toEqual(['dlv_10']);
  });

  it('gives a dead letter to one taker', async () => {
    const store = new Store();
    const deadLetters = new DeadLetters(store, (error) => expect.fail(String(error)));
    await deadLetters.add(failure(1));
    expect(await Promise.all([deadLetters.take('dlv_1'), deadLetters.take('dlv_1')])).toEqual([failure(1), undefined]);
    await deadLetters.add(failure(2));
    // Another node was quicker.
    store.kept.clear();
    expect(await deadLetters.take('dlv_2')).toBeUndefined();
    expect(deadLetters.size).toBe(0);
  });

  it('loses nothing to a store that is away', async () => {
    const store = new Store();
    const faults: unknown[] = [];
    const deadLetters = new DeadLetters(store, (error) => faults.push(error));
    store.fail = true;
    await deadLetters.add(failure(1));
    expect(faults.length).toBe(1);
    await expect(deadLetters.take('dlv_1')).rejects.toThrow('away');
    expect(deadLetters.all()).toEqual([failure(1)]);
  });
});
