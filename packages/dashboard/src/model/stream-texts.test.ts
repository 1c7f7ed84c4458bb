import type { Envelope } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { StreamTexts } from './stream-texts.ts';

function piece(id: string, offset: number, text: string, state = 'streaming'): Envelope {
  return { payload: { text }, metadata: { stream: { id, offset, state } } } as unknown as Envelope;
}

function open(): { texts: StreamTexts; frame: () => void } {
  const due: (() => void)[] = [];
  return { texts: new StreamTexts((run) => due.push(run)), frame: () => due.splice(0).forEach((run) => void run()) };
}

describe('the texts of token streams', () => {
  it('grow piece by piece, and change once a frame', () => {
    const { texts, frame } = open();
    texts.take(piece('a', 0, 'Once '));
    texts.take(piece('b', 0, 'other'));
    texts.take(piece('a', 5, 'upon'));
    expect(texts.shown.value.size).toBe(0);
    frame();
    expect(texts.shown.value.get('a')).toEqual({ text: 'Once upon', length: 9, state: 'streaming' });
    expect(texts.shown.value.get('b')?.text).toBe('other');
  });

  it('have nothing twice, and are the whole at the end', () => {
    const { texts, frame } = open();
    texts.take(piece('a', 0, 'Once upon'));
    texts.take(piece('a', 5, 'upon a'));
    texts.take(piece('a', 0, 'Once'));
    frame();
    expect(texts.shown.value.get('a')?.text).toBe('Once upon a');
    texts.take(piece('a', 0, 'Once upon a time', 'complete'));
    frame();
    expect(texts.shown.value.get('a')).toEqual({ text: 'Once upon a time', length: 16, state: 'complete' });
  });

  it('are kept to their last 20,000 units, of 100 streams', () => {
    const { texts, frame } = open();
    texts.take(piece('long', 0, 'x'.repeat(30_000)));
    texts.take(piece('long', 30_000, 'end'));
    frame();
    expect(texts.shown.value.get('long')).toMatchObject({ length: 30_003 });
    expect(texts.shown.value.get('long')?.text).toHaveLength(20_000);
    expect(texts.shown.value.get('long')?.text.endsWith('xend')).toBe(true);
    for (let n = 0; n < 100; n += 1) texts.take(piece(`s${n}`, 0, 'x'));
    frame();
    expect(texts.shown.value.size).toBe(100);
    expect(texts.shown.value.has('long')).toBe(false);
  });

  it('are not made of anything else', () => {
    const { texts, frame } = open();
    texts.take({ payload: { text: 'no' }, metadata: {} } as unknown as Envelope);
    texts.take(piece('a', 0, 7 as unknown as string));
    frame();
    expect(texts.shown.value.size).toBe(0);
  });
});
