import { describe, expect, it } from 'vitest';
import { ProcessorWaits } from './machine.ts';
import { intoPage, outcomeOf, type Seen, tableOf } from './report.ts';
import { spread, type WitnessFigures } from './witness.ts';

const ATTACK = { name: 'flood', title: 'a flood', maxRssMib: 200 };
const WITNESS: WitnessFigures = { sent: 500, lost: 0, p50: 1.24, p99: 49.9, worst: 80, rawP99: 60, refusal: null };
const SEEN: Seen = {
  seconds: 5,
  witness: WITNESS,
  rssMib: 199,
  end: null,
  told: new Map([['ack', 1_200]]),
  faults: [],
};

const faultsOf = (changes: Partial<Seen>): readonly string[] => outcomeOf(ATTACK, { ...SEEN, ...changes }).faults;

describe('the outcome of an attack', () => {
  it('is that the bus held, within every bound', () => {
    expect(outcomeOf(ATTACK, SEEN)).toMatchObject({ held: true, faults: [] });
  });

  it('names everything that did not hold', () => {
    const witness = (changes: Partial<WitnessFigures>): Partial<Seen> => ({ witness: { ...WITNESS, ...changes } });
    expect(faultsOf(witness({ p99: 50 }))).toEqual(['its p99 is 50 ms, not under 50 ms']);
    expect(faultsOf(witness({ p99: Number.NaN, sent: 0 }))).toEqual([
      'the working client could not send',
      'its p99 is none, not under 50 ms',
    ]);
    expect(faultsOf(witness({ lost: 2, refusal: 'LIMIT_EXCEEDED' }))).toEqual([
      'the working client lost 2 of 500 (LIMIT_EXCEEDED)',
    ]);
    expect(faultsOf({ rssMib: 200 })).toEqual(['the bus had 200 MiB, not under 200']);
    expect(faultsOf({ end: 'SIGABRT' })).toEqual(['the bus ended with SIGABRT']);
    expect(faultsOf({ faults: ['in order'] })).toEqual(['not so: in order']);
  });

  it('is a row of the table, which goes between the marks of a page', () => {
    const table = tableOf([outcomeOf(ATTACK, SEEN)]);
    expect(table.split('\n')[2]).toBe(
      '| a flood | 1.2 ms | 50 ms | 60 ms | 80 ms | 0 of 500 | 199 of 200 MiB | 1,200 × ack | held |',
    );
    const page = 'before\n\n<!-- abuse -->\nold\n<!-- /abuse -->\nafter\n';
    expect(intoPage(page, '$& table')).toBe('before\n\n<!-- abuse -->\n\n$& table\n\n<!-- /abuse -->\nafter\n');
    expect(() => intoPage('no marks', table)).toThrow('<!-- abuse -->');
  });
});

describe('round trips', () => {
  it('are told by percentile', () => {
    expect(spread(Array.from({ length: 200 }, (_, n) => 200 - n))).toEqual({ p50: 101, p99: 199, worst: 200 });
    expect(spread([])).toEqual({ p50: Number.NaN, p99: Number.NaN, worst: Number.NaN });
  });

  it('are freed of what the main thread waited, and the one of the others that waited longest', () => {
    expect(ProcessorWaits.between([10], [13])).toBe(3);
    expect(ProcessorWaits.between([10, 5, 5], [13, 6, 9])).toBe(7);
  });
});
