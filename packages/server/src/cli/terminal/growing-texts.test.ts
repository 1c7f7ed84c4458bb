import type { Envelope } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { GrowingTexts } from './growing-texts.ts';

function piece(text: string, offset: number, state = 'streaming', id = 's'): Envelope {
  return {
    ...{ version: '1.0', id: 'arq_1', type: 'event', room: 'talk', channel: 'answers', from: 'arq_client_1' },
    ...{ timestamp: '2026-01-31T12:00:00.000Z', payload: { text }, metadata: { stream: { id, offset, state } } },
  } as Envelope;
}

function line(texts: GrowingTexts, envelope: Envelope, columns = 200): string {
  const taken = texts.take(envelope, columns);
  return taken !== null && 'growing' in taken ? taken.growing.render(false) : '';
}

it('grows a line, and gives the whole in the end', () => {
  const texts = new GrowingTexts();
  expect(line(texts, piece('Once ', 0))).toMatch(/talk:answers {2}arq_client_1 {2}\{\} Once $/);
  expect(line(texts, piece('upon', 5))).toMatch(/Once upon$/);
  // What there is so far, after the line was lost.
  expect(line(texts, piece('Once upon a', 0))).toMatch(/ Once upon a$/);
  const taken = texts.take(piece(' time', 11, 'complete'), 200);
  expect(taken).toMatchObject({ whole: { payload: { text: 'Once upon a time' } } });
});

it('shows the end of what does not fit, whatever is in it', () => {
  const texts = new GrowingTexts();
  const shown = line(texts, piece(`${'界'.repeat(500)}\u001b[31mred`, 0), 100);
  expect(shown).toMatch(/界\\u\{1b\}\[31mred$/);
  expect([...shown].reduce((sum, one) => sum + (one === '界' ? 2 : 1), 0)).toBeLessThan(100);
});

it('leaves alone what is of no stream, or is not marked as the bus marks it', () => {
  const texts = new GrowingTexts();
  const { metadata: _none, ...plain } = piece('x', 0);
  expect(texts.take(plain, 80)).toBeNull();
  expect(texts.take({ ...piece('x', 0), metadata: { stream: { id: 1, offset: 'x' } } }, 80)).toBeNull();
});
