import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../fake-clock.suite.ts';
import { Backlog, MAX_BACKLOG_BYTES } from './delivery.ts';
import { hang, statuses } from './receiver.suite.ts';
import { openReceiver, openRig, settled } from './rig.suite.ts';

describe('Backlog', () => {
  it('is a queue that forgets its oldest beyond either bound, as a plain array would', () => {
    const step = fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.constant('shift' as const),
      fc.constant('drain' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const backlog = new Backlog<{ size: number }>(5, 60);
        let model: { size: number }[] = [];
        for (const one of steps) {
          if (one === 'shift') expect(backlog.shift()).toBe(model.shift());
          else if (one === 'drain') expect(backlog.drain()).toEqual(model.splice(0));
          else {
            const item = { size: one };
            const all = [...model, item];
            model = all;
            while (model.length > 1 && (model.length > 5 || model.reduce((sum, { size }) => sum + size, 0) > 60)) {
              model = model.slice(1);
            }
            expect(backlog.push(item)).toBe(all.length - model.length);
          }
          expect(backlog.length).toBe(model.length);
          expect(backlog.peek()).toBe(model[0]);
        }
      }),
    );
  });

  it('holds 8 MiB unless told otherwise, and the newest however large it is', () => {
    const backlog = new Backlog<{ size: number }>(1_000);
    const half = { size: MAX_BACKLOG_BYTES / 2 };
    expect([backlog.push(half), backlog.push(half), backlog.push({ size: 1 })]).toEqual([0, 0, 1]);
    expect(backlog.push({ size: MAX_BACKLOG_BYTES * 2 })).toBe(2);
    expect(backlog.length).toBe(1);
  });
});

describe('order and retries', () => {
  it('keeps order through failures and counts what happened', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, random: () => 0 }), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = statuses(204, 500, 429, 204);
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    for (const n of [1, 2, 3]) rig.publish(owner, 'science', 'a', n);
    await rig.until(() => rig.failures.length === 1);
    expect(clock.pending).toEqual([500]);
    clock.advance(500);
    await rig.until(() => rig.failures.length === 2);
    expect(clock.pending).toEqual([1_000]);
    clock.advance(1_000);
    await receiver.until(5);
    expect(receiver.numbers).toEqual([1, 2, 2, 2, 3]);
    expect(receiver.requests.map(({ body }) => body.attempt)).toEqual([1, 1, 2, 3, 1]);
    expect(new Set(receiver.requests.map(({ body }) => body.delivery_id)).size).toBe(3);
    expect(rig.failures[0]?.event.payload).toMatchObject({
      host: `127.0.0.1:${receiver.port}`,
      status: 500,
      attempt: 1,
    });
    expect(JSON.stringify(rig.failures)).not.toContain('/hook');
    expect(rig.operator.outcomes).toMatchObject({ retried: 2, failed: 0, dropped: 0 });
  });

  it('waits as long as Retry-After says', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock }), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = (response) => {
      receiver.answer = 204;
      response.writeHead(503, { 'retry-after': '17' }).end();
    };
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    await rig.until(() => rig.failures.length === 1);
    expect(clock.pending).toEqual([17_000]);
    clock.advance(17_000);
    await receiver.until(2);
  });

  it('loses nothing when the endpoint goes and comes back, and keeps order', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock }), openReceiver()]);
    const owner = rig.connect();
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 0);
    await receiver.until(1);
    await receiver.close();
    for (let n = 1; n <= 20; n += 1) rig.publish(owner, 'science', 'a', n);
    for (let failures = 1; failures <= 3; failures += 1) {
      await rig.until(() => rig.failures.length === failures);
      expect(rig.failures.at(-1)?.event.payload).toMatchObject({ status: null, will_retry: true });
      if (failures < 3) clock.advance(60_000);
    }
    const back = await openReceiver(receiver.port);
    clock.advance(60_000);
    await back.until(20);
    expect(back.numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  it('gives up after the last attempt, goes on with the next, and delivers dead letters again on demand', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, maxAttempts: 2 }), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = statuses(503, 503, 204);
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'a', 2);
    await rig.until(() => rig.failures.length === 1);
    clock.advance(60_000);
    await receiver.until(3);
    expect(receiver.numbers).toEqual([1, 1, 2]);
    const { dead_letters, count } = await rig.run(owner, 'op.webhook.dead_letters', { rule_id });
    expect(count).toBe(1);
    expect(dead_letters[0]).toMatchObject({ attempts: 2, last_error: 'HTTP 503', envelope: { payload: { n: 1 } } });
    expect(rig.failures.at(-1)?.event).toMatchObject({ severity: 'error', payload: { will_retry: false } });
    const { delivery_id } = dead_letters[0]!;
    expect(await rig.refusal(owner, 'op.webhook.retry', { rule_id, delivery_id: 'dlv_none' })).toEqual({
      code: 'NOT_FOUND',
    });
    expect(await rig.run(owner, 'op.webhook.retry', { rule_id, delivery_id })).toEqual({ requeued: 1 });
    await receiver.until(4);
    expect(receiver.requests[3]?.body).toMatchObject({ delivery_id, attempt: 3, envelope: { payload: { n: 1 } } });
    expect(await rig.run(owner, 'op.webhook.retry', { rule_id })).toEqual({ requeued: 0 });
    const [listed] = (await rig.run(owner, 'op.webhook.list', {})).rules;
    expect(listed).toMatchObject({ failed: 1, dropped: 0, dead_letters: 0 });
  });

  it.each([
    [400, 'HTTP 400'],
    [404, 'HTTP 404'],
    [410, 'HTTP 410'],
    [302, 'HTTP 302: redirects are not followed'],
  ])('does not repeat what was answered with %i', async (status, last_error) => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = (response) => response.writeHead(status, { location: receiver.url }).end();
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    await rig.until(() => rig.failures.length === 1);
    expect(receiver.requests.length).toBe(1);
    const { dead_letters } = await rig.run(owner, 'op.webhook.dead_letters', { rule_id });
    expect(dead_letters).toMatchObject([{ attempts: 1, last_error }]);
  });

  it('gives a request the time the rule names, the body of the answer included', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, maxAttempts: 1 }), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = (response) => {
      response.writeHead(200).write('{"half":');
      receiver.answer = hang;
    };
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', timeout_seconds: 7 });
    for (const expected of [1, 2]) {
      rig.publish(owner, 'science', 'a', expected);
      await receiver.until(expected);
      expect(clock.pending).toEqual([7_000]);
      clock.advance(6_999);
      expect(rig.failures.length).toBe(expected - 1);
      clock.advance(1);
      await rig.until(() => rig.failures.length === expected);
    }
    expect(rig.failures.map(({ event }) => event.payload.error)).toEqual(Array(2).fill('no answer within 7 s'));
  });

  it('gives a name that nobody answers for no more time than that', async () => {
    const clock = new FakeClock();
    const asked: string[] = [];
    const resolve = (hostname: string): Promise<never> => {
      asked.push(hostname);
      return new Promise(() => {});
    };
    const rig = await openRig({ clock, resolve, maxAttempts: 1 });
    const owner = rig.connect();
    await rig.run(owner, 'op.webhook.register', { url: 'http://name.example/', room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    await settled(() => asked.length === 1);
    clock.advance(2_000);
    await rig.until(() => rig.failures.length === 1);
    expect(rig.failures[0]?.event.payload).toMatchObject({ host: 'name.example', error: 'no answer within 2 s' });
  });

  it('makes dead letters at once of what would go to a special address, without telling which', async () => {
    const rig = await openRig({ resolve: async () => [{ address: '10.1.2.3', family: 4 }] });
    const owner = rig.connect();
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: 'http://name.example/', room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    await rig.until(() => rig.failures.length === 1);
    const { dead_letters } = await rig.run(owner, 'op.webhook.dead_letters', { rule_id });
    expect(dead_letters).toMatchObject([
      { attempts: 1, last_error: 'the host does not resolve to public addresses only' },
    ]);
    expect(JSON.stringify([dead_letters, rig.failures])).not.toContain('10.1.2.3');
  });

  it('reads little of an answer without end', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    let written = 0;
    receiver.answer = (response) => {
      response.writeHead(200);
      const pour = (): void => {
        while (!response.destroyed && response.write('x'.repeat(16_384))) written += 16_384;
        if (!response.destroyed) response.once('drain', pour);
      };
      pour();
    };
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'a', 2);
    await receiver.until(2);
    expect(rig.operator.outcomes).toMatchObject({ delivered: 1, failed: 0 });
    // What the kernels' buffers took, not what the endpoint would have sent.
    expect(written).toBeLessThan(32 * 1024 * 1024);
  });
});
