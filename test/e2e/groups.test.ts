import { describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { BusProcess } from './faults/bus-process.ts';

type Frame = Awaited<ReturnType<Peer['next']>>;

const GROUP = { room: 'work', channel: 'jobs', group: 'g' };
const NUMBERS = Array.from({ length: 150 }, (_, index) => index + 1);
/** A driver that ended without a farewell is succeeded within this. */
const TAKEOVER_MS = 12_000;

function tokenOf({ metadata = {} }: Frame): string {
  return (metadata.delivery as { token: string }).token;
}

function isDelivery(frame: Frame): boolean {
  return frame.metadata?.delivery !== undefined;
}

describe.runIf(hasRedis())('groups of two processes', () => {
  it('go on within 12 s when the node that drives them is killed, and handle every event', {
    timeout: 120_000,
  }, async () => {
    const redis = await PrivateRedis.start({ sync: 'always' });
    const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
    const driving = await BusProcess.start('node-a', settings);
    const maker = await Peer.connect(driving.url);
    // Until it is killed it drives what it was the first to know.
    await maker.ask('group.create', { ...GROUP, backoff_seconds: [0], ack_wait_seconds: 20 });
    const other = await BusProcess.start('node-b', settings);
    const [worker, victim] = [await Peer.connect(other.url), await Peer.connect(driving.url)];
    await worker.ask('join_channel', { ...GROUP, prefetch: 4 });
    await victim.ask('join_channel', { ...GROUP, prefetch: 4 });
    for (const n of NUMBERS.slice(0, 50)) await maker.publish({ ...GROUP, payload: { n } });
    const held = [await worker.next(isDelivery), await worker.next(isDelivery)];
    const lost = await victim.next(isDelivery);
    // What is answered is stored: the driver knows these leases, and so will the next one.
    await worker.ask('delivery.ack', { tokens: [tokenOf(held[0] as Frame)] });
    await driving.kill();
    const killed = performance.now();

    // It waits for the new driver, which honours the lease.
    const answering = worker
      .command('delivery.ack', { tokens: [tokenOf(held[1] as Frame)] })
      .then(({ status }) => ({ status, isInTime: performance.now() - killed < TAKEOVER_MS }));
    const handled = new Set([held[0]?.payload.n]);
    const publisher = await Peer.connect(other.url);
    for (const n of NUMBERS.slice(50)) await publisher.publish({ ...GROUP, payload: { n } });
    expect(await answering).toEqual({ status: 'success', isInTime: true });
    handled.add(held[1]?.payload.n);
    while (handled.size < NUMBERS.length) {
      const event = await worker.next(isDelivery);
      const { status } = await worker.command('delivery.ack', { tokens: [tokenOf(event)] });
      if (status === 'success') handled.add(event.payload.n);
    }
    expect((await worker.command('delivery.ack', { tokens: [tokenOf(lost)] })).error_code).toBe('LEASE_LOST');
    expect(await worker.ask('group.info', GROUP)).toMatchObject({
      position: { sequence: 150 },
      pending: 0,
      unacked: 0,
      lost: 0,
      rejected: 0,
    });
    await other.stop();
    await redis.stop();
  });
});
