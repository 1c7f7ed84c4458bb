import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ago, bytes, moment, plural } from './quantity.ts';

const NOW = '2026-03-01T12:00:00.000Z';

describe('figures for people', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.parse(NOW) });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('say how long ago something was in whole seconds, never none', () => {
    const before = (seconds: number): string => ago(new Date(Date.now() - 1_000 * seconds).toISOString());
    expect([0, 0.4, 1.2, 2.6, 59.4, 59.7, 61, 7_300].map(before)).toEqual(
      ['1 s', '1 s', '1 s', '3 s', '59 s', '1 min', '1 min', '2 h 1 min'].map((span) => `${span} ago`),
    );
    expect(before(-90)).toBe('in 1 min');
    expect([ago(null), ago(''), ago('soon')]).toEqual(['–', '–', '–']);
  });

  it('say when something was by the local clock', () => {
    const local = new Date(2026, 10, 7, 9, 5, 3, 42);
    expect(moment(local.toISOString())).toBe('7 Nov 2026 09:05:03.042');
    expect(moment('soon')).toBe('–');
  });

  it('have units, and words for one and for many', () => {
    expect([0, 971, 1_024, 163_840, 5_368_709_120].map(bytes)).toEqual([
      '0 B',
      '971 B',
      '1.0 KiB',
      '160 KiB',
      '5.0 GiB',
    ]);
    expect([plural(1, 'event'), plural(0, 'event'), plural(2_000, 'event')]).toEqual([
      '1 event',
      '0 events',
      '2,000 events',
    ]);
  });
});
