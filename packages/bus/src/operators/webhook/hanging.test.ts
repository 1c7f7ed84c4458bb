import { describe, expect, it } from 'vitest';
import { hang, type Receiver } from './receiver.suite.ts';
import { openReceiver, openRig, RecordingWire, settled, turn } from './rig.suite.ts';

const RULES = 50;
const MESSAGES = 500;
const MANY = { maxRulesPerSubject: 2 * RULES, maxPostsPerHost: 2 * RULES };

/** A silent endpoint under each of the rules, and a client that measures how long its own messages take. */
async function measure(hanging: boolean): Promise<{ received: number[]; latencies: number[]; open: number }> {
  const [rig, receiver] = await Promise.all([openRig(MANY), openReceiver()]);
  receiver.answer = hang;
  const owner = rig.connect();
  const sender = rig.connect();
  const wire = new RecordingWire();
  const witness = rig.connect({}, wire);
  await rig.run(witness, 'join_channel', { room: 'witness', channel: 'clock' });
  if (hanging) {
    for (let rule = 0; rule < RULES; rule += 1) {
      await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', timeout_seconds: 30 });
      await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'witness', timeout_seconds: 30 });
    }
    rig.publish(sender, 'science', 'a', 0);
    await receiver.until(RULES);
  }
  const received: number[] = [];
  const latencies: number[] = [];
  for (let n = 0; n < MESSAGES; n += 1) {
    const arrived = new Promise<number>((resolve) => {
      wire.onEnvelope = ({ type, payload }) => {
        if (type === 'event') resolve(payload.n as number);
      };
    });
    const sent = performance.now();
    rig.publish(sender, 'witness', 'clock', n);
    // The hanging rules get a thousand more to queue.
    rig.publish(sender, 'science', 'a', n);
    received.push(await arrived);
    latencies.push(performance.now() - sent);
  }
  const open = await openRequests(receiver, hanging ? 2 * RULES : 0);
  await rig.stop();
  return { received, latencies, open };
}

/** Requests that the endpoint has and did not answer, once it has as many. */
async function openRequests(receiver: Receiver, expected: number): Promise<number> {
  await receiver.until(expected);
  return receiver.requests.length;
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

describe('endpoints that hang', () => {
  it('cost a witness channel nothing: all of it arrives while every request is still open', async () => {
    const alone = await measure(false);
    const beside = await measure(true);
    const all = Array.from({ length: MESSAGES }, (_, n) => n);
    expect(alone.received).toEqual(all);
    expect(beside.received).toEqual(all);
    // One request a rule and no more, although hundreds of events wait for each.
    expect(beside.open).toBe(2 * RULES);
    // A publish that waited for any endpoint would take seconds. The bound is far above the noise of a busy machine.
    expect(median(beside.latencies)).toBeLessThan(median(alone.latencies) + 100);
  });

  it('do not delay another rule', async () => {
    const [rig, slow, quick] = await Promise.all([
      openRig({ maxRulesPerSubject: RULES + 1 }),
      openReceiver(),
      openReceiver(),
    ]);
    slow.answer = hang;
    const owner = rig.connect();
    for (let rule = 0; rule < RULES; rule += 1) {
      await rig.run(owner, 'op.webhook.register', { url: slow.url, room: 'science', timeout_seconds: 30 });
    }
    await rig.run(owner, 'op.webhook.register', { url: quick.url, room: 'science' });
    for (let n = 0; n < 100; n += 1) rig.publish(owner, 'science', 'a', n);
    await quick.until(100);
    expect(quick.numbers).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(rig.operator.outcomes).toMatchObject({ retried: 0, failed: 0, dropped: 0 });
  });

  it('get eight requests at a time, over the rules of all owners', async () => {
    const [rig, slow] = await Promise.all([openRig(), openReceiver()]);
    const answers: (() => void)[] = [];
    slow.answer = (response) => {
      answers.push(() => response.writeHead(204).end());
    };
    const owners = [rig.connect(), rig.connect({ tenant: 'other' }), rig.connect({ subject: 'ada' })];
    for (const owner of owners) {
      for (let rule = 0; rule < 10; rule += 1) {
        await rig.run(owner, 'op.webhook.register', { url: slow.url, room: 'science', timeout_seconds: 30 });
      }
      rig.publish(owner, 'science', 'a', 1);
    }
    // The rules of the first owner get the event of the third too.
    const posts = 10 + 10 + 20;
    for (let answered = 0; answered < posts; answered += 1) {
      await slow.until(Math.min(posts, answered + 8));
      await turn();
      expect(slow.requests).toHaveLength(Math.min(posts, answered + 8));
      answers[answered]?.();
    }
    await settled(() => rig.operator.outcomes.delivered === posts);
    expect(rig.operator.waitingPosts).toBe(0);
    expect(rig.operator.outcomes).toMatchObject({ retried: 0, failed: 0, dropped: 0 });
  });

  it('are left by the rules of an owner that goes', async () => {
    const [rig, slow] = await Promise.all([openRig({ maxPostsPerHost: 1 }), openReceiver()]);
    slow.answer = hang;
    const [first, second, third] = [rig.connect(), rig.connect(), rig.connect()];
    for (const owner of [first, second]) {
      await rig.run(owner, 'op.webhook.register', { url: slow.url, room: 'science', timeout_seconds: 30 });
    }
    rig.publish(third, 'science', 'a', 1);
    await slow.until(1);
    await settled(() => rig.operator.waitingPosts === 1);
    rig.bus.disconnect(second, 'gone');
    await settled(() => rig.operator.waitingPosts === 0);
    await rig.run(third, 'op.webhook.register', { url: slow.url, room: 'art' });
    rig.publish(third, 'art', 'a', 2);
    await settled(() => rig.operator.waitingPosts === 1);
    rig.bus.disconnect(first, 'gone');
    await slow.until(2);
    expect(slow.numbers).toEqual([1, 2]);
  });
});
