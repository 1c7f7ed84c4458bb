import { createHmac } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { statuses } from './receiver.suite.ts';
import { openReceiver, openRig } from './rig.suite.ts';

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

describe('limits', () => {
  it('loses what history dropped before its turn, counts it and tells once', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    await rig.run(owner, 'create_channel', { room: 'science', channel: 'a', history: { size: 3 } });
    let held: ServerResponse | undefined;
    receiver.answer = (response) => {
      held = response;
      receiver.answer = 204;
    };
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 0);
    await receiver.until(1);
    for (let n = 1; n <= 8; n += 1) rig.publish(owner, 'science', 'a', n);
    expect((await rig.run(owner, 'op.webhook.list', {})).rules).toMatchObject([{ queued: 9, dropped: 0 }]);
    held?.writeHead(204).end();
    await receiver.until(4);
    expect(receiver.numbers).toEqual([0, 6, 7, 8]);
    expect((await rig.run(owner, 'op.webhook.list', {})).rules).toMatchObject([{ dropped: 5 }]);
    expect(rig.operator.outcomes.dropped).toBe(5);
    expect(rig.failures.map(({ event }) => event.payload.error)).toEqual(['history dropped events that waited']);
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
