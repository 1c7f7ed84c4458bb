import type { Envelope } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { answerOf, Questions } from './questions.ts';

const NOON = Date.parse('2026-01-01T12:00:00.000Z');

function asking(id: string, more: object = {}, deadline = '2026-01-01T12:05:00.000Z'): Envelope {
  return {
    id,
    from: 'arq_client_a',
    timestamp: '2026-01-01T12:00:00.000Z',
    payload: { question: 'may I?' },
    metadata: { sender: { subject: 'planner' }, request: { deadline } },
    ...more,
  } as unknown as Envelope;
}

describe('questions', () => {
  it('are what asks for an answer, once each', () => {
    const questions = new Questions(() => NOON);
    questions.take(asking('a'));
    questions.take(asking('a'));
    questions.take(asking('b', { metadata: {} }));
    questions.take(asking('c', { metadata: { request: true } }));
    expect(questions.open.value).toMatchObject([
      { id: 'a', who: 'planner', deadline: '2026-01-01T12:05:00.000Z' },
      { id: 'c', who: 'arq_client_a', deadline: null },
    ]);
  });

  it('go when they are answered, and do not come back', () => {
    const questions = new Questions(() => NOON);
    questions.take(asking('a'));
    questions.settle('a');
    questions.take(asking('a'));
    expect(questions.open.value).toEqual([]);
    const later = new Questions(() => NOON, questions.settled);
    later.take(asking('a'));
    later.take(asking('b'));
    expect(later.open.value).toMatchObject([{ id: 'b' }]);
  });

  it('go when their time is over, and do not come after it', () => {
    let now = NOON;
    const questions = new Questions(() => now);
    questions.take(asking('a'));
    questions.take(asking('b', {}, '2026-01-01T11:59:59.000Z'));
    expect(questions.open.value).toHaveLength(1);
    now += 300_000;
    questions.sweep();
    expect(questions.open.value).toEqual([]);
  });

  it('are bounded in number and in characters, and what there is no room for is counted', () => {
    const questions = new Questions(() => NOON);
    for (let n = 0; n < 105; n += 1) questions.take(asking(`q${n}`));
    expect([questions.open.value.length, questions.refused.value]).toEqual([100, 5]);
    questions.clear();
    for (let n = 0; n < 5; n += 1) questions.take(asking(`q${n}`, { payload: { text: 'x'.repeat(1_000_000) } }));
    expect([questions.open.value.length, questions.refused.value]).toEqual([4, 1]);
    questions.settle('q0');
    questions.take(asking('q5', { payload: { text: 'x'.repeat(1_000_000) } }));
    expect(questions.open.value.map(({ id }) => id)).toEqual(['q1', 'q2', 'q3', 'q5']);
  });
});

describe('an answer', () => {
  it.each([
    ['{"approved":true}', { approved: true }],
    ['yes, do', { text: 'yes, do' }],
    ['[1]', { text: '[1]' }],
    ['42', { text: '42' }],
  ])('%s is a payload', (written, payload) => {
    expect(answerOf(written)).toEqual(payload);
  });
});
