import { describe, expect, it } from 'vitest';
import type { Engine } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { STATE_SPACE } from './group-store.ts';
import { Node, type NodeOptions, PLACE, tokenOf, Worker } from './rig.suite.ts';
import { UncertainStore } from './uncertain-store.suite.ts';

const PATIENT = { timeout: 20_000, interval: 20 };

/** A worker of a group that has one event, on a store whose writes may go wrong. */
async function openWorker(options: NodeOptions = {}) {
  const inner = createMemoryEngine();
  const store = new UncertainStore(inner.store, STATE_SPACE);
  const engine: Engine = {
    ...{ backend: inner.backend, broker: inner.broker, store, presence: inner.presence },
    open: (events) => inner.open(events),
    healthy: () => inner.healthy(),
    stats: () => inner.stats(),
    close: () => inner.close(),
  };
  const node = await Node.open(engine, options);
  const worker = await Worker.connect(node);
  await worker.join('g');
  await node.publish([1]);
  return { worker, event: await worker.next(), store };
}

describe('an ack that was stored while nobody was told', () => {
  it('is done, and handed out to nobody, though the driver begins anew; given again after that it is lost', async () => {
    const { worker, event, store } = await openWorker();
    store.failNext('made, not told');
    expect(await worker.ack(event)).toEqual({ done: [tokenOf(event)], lost: [] });
    expect((await worker.refused('delivery.ack', { tokens: [tokenOf(event)] })).code).toBe('LEASE_LOST');
    const place = { ...PLACE, group: 'g' };
    expect(await worker.ask('group.info', place)).toMatchObject({ handled: 1, pending: 0, unacked: 0 });
  });

  it('is done when its worker was told that the storage is away, and gives it again', async () => {
    const clock = new FakeClock();
    const { worker, event, store } = await openWorker({ clock });
    store.holdNext();
    store.failNext('made, not told');
    const refusal = worker.refused('delivery.ack', { tokens: [tokenOf(event)] });
    await expect.poll(() => store.underWay, PATIENT).toBe(1);
    clock.advance(12_500);
    store.arrive();
    expect((await refusal).code).toBe('STORAGE_UNAVAILABLE');
    const again = worker.ack(event);
    await expect.poll(() => clock.pending, PATIENT).toContain(250);
    clock.advance(250);
    expect(await again).toEqual({ done: [tokenOf(event)], lost: [] });
  });
});
