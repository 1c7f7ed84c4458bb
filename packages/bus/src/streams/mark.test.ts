import { openDraft, seal, sealUnstored } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { cutTo, markText, readMark, textOf } from './mark.ts';

const MARK = { id: 'a-stream', offset: 0, state: 'complete' } as const;

function draft(text: string, marks: string, metadata: Record<string, unknown> = {}): string {
  const source = { id: 'arq_stream_1', type: 'event', room: 'r', channel: 'c', from: 'me', payload: { text } } as const;
  return openDraft({ ...source, metadata, marks }).open;
}

describe('the mark of a stream', () => {
  it('is read where only the server writes, stored or not', () => {
    const open = draft('whole', markText(MARK));
    for (const text of [seal(open, 7, 'e-1'), sealUnstored(open)]) {
      expect(readMark(text)).toEqual(MARK);
      expect(JSON.parse(text).metadata.stream).toEqual(MARK);
      expect(textOf(text)).toBe('whole');
    }
    expect(readMark(sealUnstored(draft('x', markText({ ...MARK, revised: true }))))?.revised).toBe(true);
  });

  it('is not what a client wrote: in the metadata, or at the end of the text', () => {
    const sender = '"sender":{"type":"human","role":"user"}';
    expect(readMark(seal(draft('x', sender, { stream: MARK }), 1, 'e'))).toBeNull();
    expect(readMark(seal(draft(`${markText(MARK)}}}`, sender), 1, 'e'))).toBeNull();
  });

  it('moves with a cut, and all else stays as it is', () => {
    const whole = seal(draft('0123456789', markText({ ...MARK, offset: 10 })), 7, 'e-1');
    const cut = cutTo(whole, 14);
    expect([textOf(cut), JSON.parse(cut).metadata]).toEqual([
      '456789',
      { stream: { ...MARK, offset: 14 }, sequence: 7, epoch: 'e-1' },
    ]);
    const { payload: _cut, metadata: _moved, ...rest } = JSON.parse(cut);
    expect(JSON.parse(whole)).toMatchObject(rest);
    expect(textOf(cutTo(whole, 99))).toBe('');
  });
});
