import { describe, expect, it } from 'vitest';
import { measureCorpus, sum } from './measure.ts';

describe('the corpus of secrets and harmless texts', () => {
  it.each([1, 2, 3])('is told apart with recall of at least 0.995 and precision of 0.98 (seed %i)', (seed) => {
    const { secrets, harmless, recall, precision } = measureCorpus(seed);
    expect(secrets.length).toBeGreaterThanOrEqual(100);
    expect(sum(secrets, 'samples')).toBeGreaterThanOrEqual(1_200);
    expect(sum(harmless, 'samples')).toBeGreaterThanOrEqual(1_800);
    expect(recall).toBeGreaterThanOrEqual(0.995);
    expect(precision).toBeGreaterThanOrEqual(0.98);
  });

  it('is found in every kind, not only on the whole', () => {
    for (const { kind, samples, found } of measureCorpus(4).secrets) {
      expect(found / samples, kind).toBeGreaterThanOrEqual(0.75);
    }
  });

  it('is the same for the same seed', () => {
    expect(measureCorpus(5)).toEqual(measureCorpus(5));
  });
});
