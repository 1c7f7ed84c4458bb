import { describe, expect, it } from 'vitest';
import { failureOf } from './connected.suite.ts';
import { Answers } from './delivery.ts';
import { Receipts } from './receipts.ts';

describe('answers to deliveries', () => {
  it('go out 500 in a command, and apart when they say different things', async () => {
    const sent: [string, number, unknown][] = [];
    const answers = new Answers(async (command, { tokens, ...args }) => {
      sent.push([command, (tokens as string[]).length, args]);
      return { done: tokens, lost: [] };
    });
    const given = Array.from({ length: 501 }, (_, n) => answers.give('ack', `t${n}`));
    given.push(answers.give('nack', 'later', { delay_seconds: 5 }), answers.give('nack', 'now'));
    await Promise.all(given);
    await answers.idle();
    expect(sent).toEqual([
      ['delivery.ack', 500, {}],
      ['delivery.ack', 1, {}],
      ['delivery.nack', 1, { delay_seconds: 5 }],
      ['delivery.nack', 1, {}],
    ]);
  });
});

describe('receipts', () => {
  it('are waited for by 10,000 messages, of which the oldest gives way', async () => {
    const receipts = new Receipts();
    const oldest = receipts.expect('arq_0');
    for (let n = 1; n < 10_000; n += 1) void receipts.expect(`arq_${n}`);
    const second = receipts.expect('arq_last');
    expect(await failureOf(oldest)).toMatchObject({ code: 'QUEUE_FULL' });
    receipts.take({ type: 'ack', request_id: 'arq_last', payload: { stage: 'expired' } } as never);
    expect(await second).toEqual({ id: 'arq_last', stage: 'expired', by: undefined, attempts: 0 });
    receipts.fail(new Error('over'));
  });
});
