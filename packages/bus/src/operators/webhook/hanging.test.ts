import { describe, expect, it } from 'vitest';
import { hang, type Receiver } from './receiver.suite.ts';
import { openReceiver, openRig, RecordingWire } from './rig.suite.ts';

const RULES = 50;
const MESSAGES = 500;

/** A silent endpoint under each of the rules, and a client that measures how long its own messages take. */
async function measure(hanging: boolean): Promise<{ received: number[]; latencies: number[]; open: number }> {
  const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
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
    const [rig, slow, quick] = await Promise.all([openRig(), openReceiver(), openReceiver()]);
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
});
