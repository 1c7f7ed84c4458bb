import { describe, expect, it } from 'vitest';
import { preview } from './preview.ts';
import { visible, visibleLine } from './visible.ts';

describe('visible', () => {
  it('spells out what would move, hide or reorder text', () => {
    expect(visible('a\u001b[2Jb')).toBe('a␛[2Jb');
    expect(visible('\u202egpj.exe')).toBe('⟨U+202E⟩gpj.exe');
    expect(visible('in\u200bvisible')).toBe('in⟨U+200B⟩visible');
    expect(visible('del\u007f \u0085')).toBe('del⟨U+007F⟩ ⟨U+0085⟩');
  });

  it('leaves letters of every script, emoji, tabs and line ends alone', () => {
    const text = 'Größe 大 שלום 🚀\n\tnext';
    expect(visible(text)).toBe(text);
  });

  it('cuts a line before it looks at it', () => {
    expect(visibleLine(`${'x'.repeat(1_000_000)}\u202e`, 5)).toBe('xxxxx…');
    expect(visibleLine('a\nb', 10)).toBe('a b');
  });
});

describe('preview', () => {
  it('writes small values as JSON', () => {
    const value = { a: 1, b: [true, null, 'x"y'], c: {} };
    expect(preview(value, 200)).toBe('{"a":1,"b":[true,null,"x\\"y"],"c":{}}');
  });

  it('stops at its budget, however large or deep the value is', () => {
    let deep: unknown = 'end';
    for (let level = 0; level < 5_000; level += 1) deep = { deep };
    const wide = { text: 'y'.repeat(2_000_000), rest: Array.from({ length: 100_000 }, (_, n) => n) };
    for (const value of [deep, wide, Array.from({ length: 100_000 }, () => ({}))]) {
      const text = preview(value, 300);
      expect(text.length).toBeLessThanOrEqual(301);
      expect(text.endsWith('…')).toBe(true);
    }
  });
});
