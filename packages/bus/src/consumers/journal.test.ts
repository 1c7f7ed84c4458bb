import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { KeySpace, KeyValueStore, SetOptions, SetOutcome } from '../engine/engine.ts';
import { MemoryStore } from '../engine/memory/store.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { turn } from '../operators/rig.suite.ts';
import { Journal } from './journal.ts';

const AT: KeySpace = { tenant: 't', space: 'group_state', namespace: '' };

/** A journal of a text, on a store whose answers the test holds back or refuses. */
function open(memory: MemoryStore = new MemoryStore(Date.now)) {
  const clock = new FakeClock();
  const log: string[] = [];
  const state = { text: 'one', isAway: false, held: null as (() => void)[] | null };
  const set = async (at: KeySpace, key: string, value: string, options?: SetOptions): Promise<SetOutcome> => {
    log.push(value);
    if (state.isAway) throw new BusError('STORAGE_UNAVAILABLE', 'away');
    if (state.held !== null) await new Promise<void>((release) => state.held?.push(release));
    return memory.set(at, key, value, options);
  };
  const store = { get: async (at: KeySpace, key: string) => memory.get(at, key), set } as unknown as KeyValueStore;
  const conflicts: number[] = [];
  const journal = new Journal(store, AT, 'k', clock, {
    write: () => state.text,
    onConflict: () => conflicts.push(log.length),
    onFault: (error) => {
      throw error;
    },
  });
  return { journal, clock, log, state, conflicts, memory };
}

/** What became of a promise so far. */
function watch(promise: Promise<void>): { outcome: string } {
  const seen = { outcome: 'waits' };
  promise.then(
    () => {
      seen.outcome = 'saved';
    },
    (error: BusError) => {
      seen.outcome = error.code;
    },
  );
  return seen;
}

describe('the journal of a group', () => {
  it('writes all that came in one turn once, and what comes during a write once more', async () => {
    const { journal, log, state } = open();
    expect(await journal.takeOver()).toBeNull();
    log.length = 0;
    state.held = [];
    const first = [watch(journal.saved()), watch(journal.saved())];
    await turn();
    state.text = 'two';
    const second = [watch(journal.saved()), watch(journal.saved())];
    await turn();
    expect([log, [...first, ...second].map(({ outcome }) => outcome)]).toEqual([
      ['one'],
      ['waits', 'waits', 'waits', 'waits'],
    ]);
    state.held.shift()?.();
    await turn();
    expect([...first, ...second].map(({ outcome }) => outcome)).toEqual(['saved', 'saved', 'waits', 'waits']);
    state.held.shift()?.();
    await turn();
    expect([log, second.map(({ outcome }) => outcome)]).toEqual([
      ['one', 'two'],
      ['saved', 'saved'],
    ]);
  });

  it('writes what nobody waits for a little later, with whatever came by then', async () => {
    const { journal, log, clock, state } = open();
    journal.note();
    journal.note();
    await turn();
    expect(log).toEqual([]);
    state.text = 'two';
    clock.advance(25);
    await turn();
    expect(log).toEqual(['two']);
  });

  it('tries again while the storage is away, and gives up on those who have waited for 10 s', async () => {
    const { journal, log, clock, state } = open();
    state.isAway = true;
    const early = watch(journal.saved());
    await turn();
    for (let ms = 0; ms < 6_000; ms += 250) {
      clock.advance(250);
      await turn();
    }
    const late = watch(journal.saved());
    for (let ms = 0; ms < 5_000; ms += 250) {
      clock.advance(250);
      await turn();
    }
    expect([early.outcome, late.outcome]).toEqual(['STORAGE_UNAVAILABLE', 'waits']);
    state.isAway = false;
    const before = log.length;
    clock.advance(250);
    await turn();
    expect([late.outcome, log.length - before]).toEqual(['saved', 1]);
  });

  it('writes nothing any more once another node has written, and says so to all who wait', async () => {
    const { journal, memory, conflicts, log } = open();
    await journal.takeOver();
    log.length = 0;
    await journal.saved();
    memory.set(AT, 'k', 'of another node');
    const waits = [watch(journal.saved()), watch(journal.saved())];
    await turn();
    expect([waits.map(({ outcome }) => outcome), conflicts.length]).toEqual([
      ['STORAGE_UNAVAILABLE', 'STORAGE_UNAVAILABLE'],
      1,
    ]);
    const after = watch(journal.saved());
    journal.note();
    await turn();
    expect([after.outcome, log.length, memory.get(AT, 'k')?.value]).toEqual([
      'STORAGE_UNAVAILABLE',
      2,
      'of another node',
    ]);
  });

  it('takes a record over as it is, and refuses whatever its predecessor has on its way', async () => {
    const before = open();
    await before.journal.takeOver();
    await before.journal.saved();
    before.state.text = 'two';
    before.state.held = [];
    const late = watch(before.journal.saved());
    await turn();
    const after = open(before.memory);
    expect(await after.journal.takeOver()).toBe('one');
    for (const release of before.state.held) release();
    await turn();
    expect([late.outcome, before.conflicts.length, before.memory.get(AT, 'k')?.value]).toEqual([
      'STORAGE_UNAVAILABLE',
      1,
      'one',
    ]);
  });

  it('reads once more when its predecessor wrote while it took over', async () => {
    const before = open();
    await before.journal.takeOver();
    const after = open(before.memory);
    after.state.held = [];
    const taken = after.journal.takeOver();
    await turn();
    before.state.text = 'two';
    await before.journal.saved();
    const { held } = after.state;
    after.state.held = null;
    for (const release of held) release();
    expect(await taken).toBe('two');
    await after.journal.saved();
    expect(after.conflicts).toEqual([]);
  });

  it('writes what is left when it stops, and does not wait for a storage that is away', async () => {
    const { journal, memory } = open();
    journal.note();
    await journal.stop();
    expect(memory.get(AT, 'k')?.value).toBe('one');

    const other = open();
    other.state.isAway = true;
    other.journal.note();
    await other.journal.stop();
    expect(other.memory.get(AT, 'k')).toBeNull();
  });
});
