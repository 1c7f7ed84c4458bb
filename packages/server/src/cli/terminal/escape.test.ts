import { describe, expect, it } from 'vitest';
import { escapeAllButLayout, escapeJson, escapeText } from './escape.ts';

describe('a text from elsewhere', () => {
  it.each([
    ['C0 and DEL', '\u0000\u0007\u001b[2J\r\n\t\u007f', String.raw`\u{0}\u{7}\u{1b}[2J\u{d}\u{a}\u{9}\u{7f}`],
    ['C1', '\u0080\u009b2J\u009d0;title\u009c', String.raw`\u{80}\u{9b}2J\u{9d}0;title\u{9c}`],
    [
      'bidirectional controls',
      'a\u202egpj.exe\u202c\u2066\u2069',
      String.raw`a\u{202e}gpj.exe\u{202c}\u{2066}\u{2069}`,
    ],
    ['direction marks', '\u200e\u200f\u061c', String.raw`\u{200e}\u{200f}\u{61c}`],
    ['line and paragraph separators', 'a\u2028b\u2029', String.raw`a\u{2028}b\u{2029}`],
    ['invisible characters', 'ad\u200bmin\u2060\ufeff\u00ad', String.raw`ad\u{200b}min\u{2060}\u{feff}\u{ad}`],
    ['joiners that join nothing', 'pay\u200dpal\u200c', String.raw`pay\u{200d}pal\u{200c}`],
    ['selectors that select nothing', 'a\ufe0f\u{e0101}', String.raw`a\u{fe0f}\u{e0101}`],
    ['tags', 'a\u{e0041}\u{e007f}', String.raw`a\u{e0041}\u{e007f}`],
    ['lone surrogates', 'a\ud800b\udc00', String.raw`a\u{d800}b\u{dc00}`],
  ])('shows %s', (_, text, shown) => {
    expect(escapeText(text)).toBe(shown);
  });

  it.each(['plain', 'Grüße, 你好, שלום, مرحبا, नमस्ते', '🚀 👩🏽‍🔬 ❤️ 👨‍👩‍👧‍👦 1️⃣ 🏳️‍🌈', 'می‌خواهم', 'क्‍ष'])(
    'keeps %s as it is',
    (text) => {
      expect(escapeText(text)).toBe(text);
      expect(escapeJson(JSON.stringify(text))).toBe(JSON.stringify(text));
    },
  );

  it('keeps line ends and tabs where they are layout, and nothing else', () => {
    expect(escapeAllButLayout('a\tb\nc\r\u001b')).toBe('a\tb\nc\\u{d}\\u{1b}');
  });

  it('stays the same JSON', () => {
    const value = { '\u009b': 'a\u202e\u{e0041}\u2028\u007f\n', list: ['\u200f'] };
    const json = escapeJson(JSON.stringify(value, null, 2));
    expect(JSON.parse(json)).toEqual(value);
    expect(json).toContain('\\u009b');
    expect(json).toContain('\\udb40\\udc41');
    expect(json).toMatch(/^[\n -~]+$/);
  });
});
