import type { Envelope, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf } from './connected.suite.ts';
import { Answers } from './delivery.ts';
import { RefusedError } from './errors.ts';
import { Receipts } from './receipts.ts';
import { FakeClock } from './testing/fake-clock.ts';

describe('answers to deliveries', () => {
  it('go out 500 in a command, and apart when they say different things', async () => {
    const sent: [string, number, unknown][] = [];
    const answers = new Answers(new FakeClock(), async (command, { tokens, ...args }) => {
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

  it('are gathered while commands are on their way, each told what became of its own', async () => {
    const clock = new FakeClock();
    const sent: [string, unknown][] = [];
    const answer: ((result: JsonObject | Promise<never>) => void)[] = [];
    const answers = new Answers(clock, (command, { tokens }) => {
      sent.push([command, tokens]);
      return new Promise((resolve) => answer.push(resolve));
    });
    const first = failureOf(answers.give('ack', 'a'));
    await expect.poll(() => sent.length).toBe(1);
    const gathered = [answers.give('ack', 'b')];
    await clock.settle();
    gathered.push(answers.give('nack', 'c'), answers.give('ack', 'd'));
    const lost = failureOf(answers.give('ack', 'e'));
    await clock.settle();
    expect(sent).toEqual([['delivery.ack', ['a']]]);
    answer[0]?.(Promise.reject(new Error('no line')));
    expect(await first).toMatchObject({ message: 'no line' });
    await clock.settle();
    expect(sent.slice(1)).toEqual([
      ['delivery.ack', ['b', 'd', 'e']],
      ['delivery.nack', ['c']],
    ]);
    answer[1]?.({ lost: ['e'] });
    answer[2]?.({ lost: [] });
    await Promise.all(gathered);
    expect(await lost).toMatchObject({ code: 'LEASE_LOST', retryable: false });
    await answers.idle();
    expect(sent).toHaveLength(3);
  });

  it('end a lease after what made it longer', async () => {
    const sent: [string, unknown][] = [];
    const answers = new Answers(new FakeClock(), async (command, { tokens }) => {
      sent.push([command, tokens]);
      return { lost: [] };
    });
    const give = (verb: 'ack' | 'extend', ...tokens: string[]) => tokens.map((token) => answers.give(verb, token));
    await Promise.all([...give('ack', 'a'), ...give('extend', 'b', 'c'), ...give('ack', 'b', 'd')]);
    expect(sent).toEqual([
      ['delivery.ack', ['a']],
      ['delivery.extend', ['b', 'c']],
      ['delivery.ack', ['b', 'd']],
    ]);
  });

  it('wait while the server takes no more, go out together then, and tell what it says of those that come too late', async () => {
    const clock = new FakeClock();
    const sent: unknown[] = [];
    let isBusy = true;
    const answers = new Answers(clock, async (_command, { tokens }) => {
      sent.push(tokens);
      if (!isBusy) return { done: ['a', 'c'], lost: ['b'] };
      const payload = { retryable: true, retry_after_ms: 1_500 };
      throw new RefusedError({ error_code: 'RATE_LIMITED', payload } as unknown as Envelope);
    });
    const given = ['a', 'b'].map((token) => answers.give('ack', token));
    const late = failureOf(given[1] as Promise<void>);
    await clock.settle();
    isBusy = false;
    given.push(answers.give('ack', 'c'));
    await clock.settle();
    expect(sent).toEqual([['a', 'b']]);
    await clock.advance(1_499);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    await answers.idle();
    expect(sent).toEqual([
      ['a', 'b'],
      ['a', 'b', 'c'],
    ]);
    expect(await late).toMatchObject({ code: 'LEASE_LOST' });
    await Promise.all([given[0], given[2]]);
  });

  it.each([
    [0, 10],
    [Number.MAX_VALUE, 30_000],
    ['soon', 1_000],
  ])('wait within bounds, whatever the server names: %s', async (retry_after_ms, expected) => {
    const clock = new FakeClock();
    let tries = 0;
    const answers = new Answers(clock, async () => {
      tries += 1;
      if (tries > 1) return { lost: [] };
      throw new RefusedError({ error_code: 'RATE_LIMITED', payload: { retry_after_ms } } as unknown as Envelope);
    });
    const given = answers.give('ack', 'a');
    await clock.settle();
    await clock.advance(expected - 1);
    expect(tries).toBe(1);
    await clock.advance(1);
    await given;
  });
});

describe('receipts', () => {
  it('are waited for by 10,000 messages, of which the oldest gives way', async () => {
    const receipts = new Receipts();
    const oldest = receipts.expect('arq_0');
    for (let n = 1; n < 10_000; n += 1) void receipts.expect(`arq_${n}`);
    const second = receipts.expect('arq_last');
    expect(await failureOf(oldest)).toMatchObject({ code: 'QUEUE_FULL' });
    receipts.take({ id: 'r', type: 'ack', request_id: 'arq_last', payload: { stage: 'expired' } } as never, () => {});
    expect(await second).toEqual({ id: 'arq_last', stage: 'expired', by: undefined, attempts: 0 });
    receipts.fail(new Error('over'));
  });
});
