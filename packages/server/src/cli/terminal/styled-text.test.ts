import { describe, expect, it } from 'vitest';
import { paint, StyledText, text } from './styled-text.ts';

describe('a styled text', () => {
  it('takes its layout from the template and escapes what is put in', () => {
    const shown = text`${'a\nb'}\t${paint('red', '\u001b[2J')}\n${3}`;
    expect(shown.render(false)).toBe('a\\u{a}b\t\\u{1b}[2J\n3');
    expect(shown.render(true)).toBe('a\\u{a}b\t\u001b[31m\\u{1b}[2J\u001b[39m\n3');
  });

  it('shows as JSON what should have been a string', () => {
    const sent: unknown = JSON.parse('{"toString":"x","a":["\\u001b"]}');
    expect(StyledText.from(sent).render(false)).toBe('{"toString":"x","a":["\\u001b"]}');
    expect(text`${undefined as unknown as string}${StyledText.from(undefined)}`.render(false)).toBe('undefined');
  });

  it('is as wide as a terminal draws it', () => {
    expect(StyledText.from('你好').width).toBe(4);
    expect(StyledText.from('👩🏽‍🔬').width).toBe(2);
    expect(paint('red', 'abc').width).toBe(3);
    expect(StyledText.from('\u202e').width).toBe(8);
  });

  it('is cut by what a person sees as characters, in its styles', () => {
    expect(text`ab${paint('red', 'cdef')}`.cut(4).render(true)).toBe('ab\u001b[31mc\u001b[39m…');
    expect(StyledText.from('你好吗').cut(4).render(false)).toBe('你…');
    expect(StyledText.from('a👩🏽‍🔬b').cut(3).render(false)).toBe('a…');
    expect(StyledText.from('abc').cut(3).render(false)).toBe('abc');
    expect(StyledText.from('abc').cut(0).render(false)).toBe('');
  });

  it('is wrapped at spaces, or where there are none', () => {
    const wrapped = (of: string, columns: number): string[] =>
      StyledText.from(of)
        .wrap(columns)
        .map((line) => line.render(false));
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrapped('abcdefgh', 3)).toEqual(['abc', 'def', 'gh']);
    expect(wrapped('short', 7)).toEqual(['short']);
    expect(wrapped('你好', 1)).toEqual(['你好']);
  });

  it('holds received JSON on one line', () => {
    expect(StyledText.receivedJson('{\n\t"a":\r\n"\u009b"}').render(false)).toBe('{ "a": "\\u009b"}');
  });
});
