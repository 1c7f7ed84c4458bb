import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTimestamp, parseTimestamp, withOffset } from './time.ts';

describe('a timestamp', () => {
  it.each([
    ['2026-02-18T01:02:03Z', '2026-02-18T01:02:03.000Z'],
    ['2026-02-18t01:02:03z', '2026-02-18T01:02:03.000Z'],
    ['2026-02-18T01:02:03', '2026-02-18T01:02:03.000Z'],
    ['2026-02-18T01:02:03.5', '2026-02-18T01:02:03.500Z'],
    ['2026-02-18T01:02:03.123456', '2026-02-18T01:02:03.123Z'],
    ['2026-02-18T01:02:03.999999999+00:00', '2026-02-18T01:02:03.999Z'],
    [`2026-02-18T01:02:03.${'7'.repeat(5_000)}Z`, '2026-02-18T01:02:03.777Z'],
    ['2026-02-18T01:02:03-05:30', '2026-02-18T06:32:03.000Z'],
    ['2026-01-01T00:00:00+23:59', '2025-12-31T00:01:00.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0000-02-29T00:00:00Z', '0000-02-29T00:00:00.000Z'],
  ])('%.40s is %s', (text, instant) => {
    expect(isTimestamp(text)).toBe(true);
    expect(new Date(parseTimestamp(text) as number).toISOString()).toBe(instant);
    // With its offset written out, every reader takes it for the same instant.
    expect(parseTimestamp(withOffset(text))).toBe(parseTimestamp(text));
    expect(withOffset(text)).toMatch(/([Zz]|[+-]\d\d:\d\d)$/);
  });

  it.each([
    '2026-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+0100',
    '2026-01-01T00:00:00.Z',
    '2026-01-01 00:00:00Z',
    '2026-01-01T00:00Z',
    '2026-01-01',
    '2026-01-01T00:00:00Z\n',
    'yesterday',
    '',
    7,
    null,
  ])('%j is none', (text) => {
    expect(isTimestamp(text)).toBe(false);
    expect(parseTimestamp(String(text))).toBeUndefined();
  });

  it('exists exactly when the calendar has its day', () => {
    const two = (value: number): string => String(value).padStart(2, '0');
    fc.assert(
      fc.property(fc.nat(9_999), fc.nat(13), fc.nat(32), (year, month, day) => {
        const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T12:00:00Z`;
        const date = new Date(text);
        const exists = !Number.isNaN(date.getTime()) && date.getUTCDate() === day && date.getUTCMonth() === month - 1;
        expect({ text, is: isTimestamp(text) }).toEqual({ text, is: exists });
      }),
      { seed: 5, numRuns: 5_000 },
    );
  });
});
