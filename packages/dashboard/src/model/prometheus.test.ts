import { describe, expect, it } from 'vitest';
import { Figures, quantile } from './prometheus.ts';

const TEXT = `# HELP a_total Something.
# TYPE a_total counter
a_total 12
errors_total{code="NOT_FOUND"} 3
errors_total{code="SAID \\"no\\", twice"} 4
delay_bucket{le="0.001"} 5
delay_bucket{le="+Inf"} 10
delay_bucket{le="0.01"} 9
`;

describe('Figures', () => {
  it('reads values, sums labels and sorts buckets', () => {
    const figures = new Figures(TEXT);
    expect(figures.sum('a_total')).toBe(12);
    expect(figures.sum('errors_total')).toBe(7);
    expect(figures.sum('unheard_of')).toBeUndefined();
    expect([...figures.buckets('delay')]).toEqual([
      [0.001, 5],
      [0.01, 9],
      [Number.POSITIVE_INFINITY, 10],
    ]);
  });
});

describe('quantile', () => {
  const before = new Map([
    [0.001, 100],
    [0.01, 100],
    [Number.POSITIVE_INFINITY, 100],
  ]);

  it('tells where between the bounds the share lies, of what came since', () => {
    const after = new Map([
      [0.001, 150],
      [0.01, 200],
      [Number.POSITIVE_INFINITY, 200],
    ]);
    expect(quantile(0.5, before, after)).toBeCloseTo(0.001);
    expect(quantile(0.75, before, after)).toBeCloseTo(0.0055);
  });

  it('tells nothing of nothing, and the last bound of what is beyond it', () => {
    expect(quantile(0.99, before, before)).toBeNull();
    const slow = new Map(before).set(Number.POSITIVE_INFINITY, 110);
    expect(quantile(0.99, before, slow)).toBe(0.01);
  });
});
