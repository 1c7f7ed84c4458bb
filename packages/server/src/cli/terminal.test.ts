import { afterEach, describe, expect, it } from 'vitest';
import { hasColours, paintFor } from './terminal/colours.ts';
import { duration } from './terminal/duration.ts';
import { visible } from './terminal/output.ts';

const terminal = { isTTY: true } as NodeJS.WriteStream;
const pipe = { isTTY: false } as NodeJS.WriteStream;
const { NO_COLOR, TERM } = process.env;

afterEach(() => {
  Object.assign(process.env, { TERM: TERM ?? '', NO_COLOR: NO_COLOR ?? '' });
});

describe('colours', () => {
  it('come on a terminal alone, and not where NO_COLOR is set', () => {
    Object.assign(process.env, { NO_COLOR: '', TERM: 'xterm' });
    expect(paintFor(terminal)('red', 'x')).toBe('\u001b[31mx\u001b[39m');
    expect(paintFor(pipe)('red', 'x')).toBe('x');
    process.env.NO_COLOR = '1';
    expect(paintFor(terminal)('red', 'x')).toBe('x');
    Object.assign(process.env, { NO_COLOR: '', TERM: 'dumb' });
    expect(hasColours(terminal)).toBe(false);
  });
});

describe('text of others', () => {
  it('loses its control characters, and nothing else', () => {
    expect(visible('a\u001b]0;title\u0007\r\n\u009bß🚀')).toBe('a\\u001b]0;title\\u0007\\u000d\\u000a\\u009bß🚀');
  });
});

describe('a duration', () => {
  it.each([
    [0, '0s'],
    [59.9, '59s'],
    [60, '1m'],
    [3_661, '1h 1m'],
    [86_400 * 2 + 5, '2d 5s'],
  ])('of %d seconds is %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});
