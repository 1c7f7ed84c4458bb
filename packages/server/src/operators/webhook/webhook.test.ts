import { createHmac } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../fake-clock.suite.ts';
import { hang, statuses } from './receiver.suite.ts';
import { openReceiver, openRig, settled } from './rig.suite.ts';

const SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;

describe('what is delivered', () => {
  it('posts the envelope exactly as subscribers get it', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    const rule = await rig.run(owner, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      channel: 'explore',
    });
    let text = '';
    rig.bus.hub.tap((event) => {
      if (event.text.includes('"type":"event"')) text = event.text;
    });
    rig.publish(owner, 'science', 'explore', '\u00e9"\u2028\ud83d\ude00 1e21');
    await receiver.until(1);
    const [{ raw, headers, body }] = receiver.requests as [(typeof receiver.requests)[0]];
    expect(raw).toBe(
      `{"rule_id":"${rule.rule_id}","delivery_id":"${body.delivery_id}","attempt":1,"envelope":${text}}`,
    );
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'ArqonBus/1.2.3' });
    expect(headers['webhook-signature']).toBeUndefined();
    expect(body.envelope).toMatchObject({ type: 'event', room: 'science', channel: 'explore', from: owner.id });
  });

  it('signs by the Standard Webhooks scheme and shows the secret to nobody', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = statuses(500, 204);
    const rule = await rig.run(owner, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      secret: SECRET,
      headers: { Authorization: 'Bearer hush' },
    });
    rig.publish(owner, 'science', 'a', 1);
    await receiver.until(1);
    const { headers, raw } = receiver.requests[0]!;
    const id = String(headers['webhook-id']);
    const time = Number(headers['webhook-timestamp']);
    const key = Buffer.from(SECRET.slice(6), 'base64');
    const expected = createHmac('sha256', key).update(`${id}.${time}.${raw}`).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${expected}`);
    expect(Math.abs(Date.now() / 1000 - time)).toBeLessThan(60);
    expect(headers.authorization).toBe('Bearer hush');
    expect(rule.signed).toBe(true);
    await rig.until(() => rig.failures.length === 1);
    const shown = JSON.stringify([rule, await rig.run(owner, 'op.webhook.list', {}), rig.happenings]);
    expect(shown).not.toContain(SECRET.slice(6));
    expect(shown).not.toContain('hush');
  });

  it('matches a channel, a room with what is addressed to all of it, or everything', async () => {
    const [rig, channel, room, all] = await Promise.all([openRig(), openReceiver(), openReceiver(), openReceiver()]);
    const owner = rig.connect();
    await rig.run(owner, 'op.webhook.register', { url: channel.url, channel: 'science:a' });
    await rig.run(owner, 'op.webhook.register', { url: room.url, room: 'science:*' });
    await rig.run(owner, 'op.webhook.register', { url: all.url });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'b', 2);
    rig.publish(owner, 'science', undefined, 3);
    rig.publish(owner, 'art', 'a', 4);
    rig.publish(owner, 'art', 'a', 'telemetry', 'telemetry');
    rig.publish(owner, 'science', 'a', 5);
    await Promise.all([channel.until(2), room.until(4), all.until(5)]);
    expect(channel.numbers).toEqual([1, 5]);
    expect(room.numbers).toEqual([1, 2, 3, 5]);
    expect(all.numbers).toEqual([1, 2, 3, 4, 5]);
  });

  it('delivers nothing of before the registration or after the removal', async () => {
    const [rig, receiver, other] = await Promise.all([openRig(), openReceiver(), openReceiver()]);
    const owner = rig.connect();
    rig.publish(owner, 'science', 'a', 1);
    const rule = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    await rig.run(owner, 'op.webhook.register', { url: other.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 2);
    await receiver.until(1);
    expect(await rig.run(owner, 'op.webhook.unregister', { rule_id: rule.rule_id })).toEqual({
      removed: true,
      rule_id: rule.rule_id,
    });
    rig.publish(owner, 'science', 'a', 3);
    await other.until(2);
    expect(receiver.numbers).toEqual([2]);
    expect(await rig.refusal(owner, 'op.webhook.unregister', { rule_id: rule.rule_id })).toEqual({ code: 'NOT_FOUND' });
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

describe('limits', () => {
  it('drops the oldest beyond the queue, counts them and tells once', async () => {
    const [rig, receiver] = await Promise.all([openRig({ maxQueue: 3 }), openReceiver()]);
    const owner = rig.connect();
    let held: ServerResponse | undefined;
    receiver.answer = (response) => {
      held = response;
      receiver.answer = 204;
    };
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 0);
    await receiver.until(1);
    for (let n = 1; n <= 8; n += 1) rig.publish(owner, 'science', 'a', n);
    const [rule] = (await rig.run(owner, 'op.webhook.list', {})).rules;
    expect(rule).toMatchObject({ queued: 4, dropped: 5 });
    expect(rig.operator.outcomes.dropped).toBe(5);
    expect(rig.failures.map(({ event }) => event.payload.error)).toEqual(['queue full']);
    held?.writeHead(204).end();
    await receiver.until(4);
    expect(receiver.numbers).toEqual([0, 6, 7, 8]);
  });

  it('keeps a tenant to its number of rules', async () => {
    const rig = await openRig({ maxRules: 2 });
    const owner = rig.connect();
    const register = (durable: boolean): Promise<unknown> =>
      rig.run(owner, 'op.webhook.register', { url: 'https://example.com/', room: 'science', durable });
    await register(false);
    await register(true);
    const args = { url: 'https://example.com/', room: 'science' };
    expect(await rig.refusal(owner, 'op.webhook.register', args)).toEqual({ code: 'LIMIT_EXCEEDED' });
    expect(await rig.refusal(owner, 'op.webhook.register', { ...args, durable: true })).toEqual({
      code: 'LIMIT_EXCEEDED',
    });
    const other = rig.connect({ tenant: 'elsewhere' });
    await rig.run(other, 'op.webhook.register', args);
    const [rule] = (await rig.run(owner, 'op.webhook.list', {})).rules;
    await rig.run(owner, 'op.webhook.unregister', { rule_id: rule?.rule_id });
    await register(true);
  });

  it('holds the number against registrations at the same time', async () => {
    const rig = await openRig({ maxRules: 3 });
    const owner = rig.connect();
    const settled = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) =>
        rig.run(owner, 'op.webhook.register', {
          url: 'https://example.com/',
          room: 'science',
          durable: index % 2 === 0,
        }),
      ),
    );
    expect(settled.filter(({ status }) => status === 'fulfilled').length).toBe(3);
    expect(rig.operator.ruleCount).toBe(3);
  });
});
