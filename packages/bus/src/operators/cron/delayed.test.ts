import { BusError, type MessageOptions } from '@arqonbus/protocol';
import { describe, expect, it, vi } from 'vitest';
import type { Sender } from '../../connection/session.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import type { Delayed } from '../../publish.ts';
import { systemSender } from '../../system-sender.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { ownerOf, settled, turn } from '../rig.suite.ts';
import { open, type Rig } from './rig.suite.ts';

function delay(rig: Rig, sender: Sender, options: MessageOptions, id = 'arq_later'): Promise<Delayed> {
  const payload = { n: 1 };
  return rig.operator.delay(sender, { id, type: 'event', room: 'r', channel: 'x', payload, options });
}

describe('an event for later', () => {
  it('P2.15 is published when it is due, from its sender, with its own id and its options', async () => {
    const rig = await open();
    const ada = rig.connect({ subject: 'ada', role: 'user' });
    const delayed = await delay(rig, ada, { delay_seconds: 5, ttl_seconds: 60 });
    expect(delayed).toMatchObject({ deliverAt: '2026-01-01T00:00:05.000Z', stored: 'memory', duplicate: false });
    rig.clock.advance(4_999);
    expect(await rig.fired()).toEqual([]);
    rig.clock.advance(1);
    const [event] = await rig.fired();
    expect(event).toMatchObject({
      id: 'arq_later',
      from: ada.id,
      payload: { n: 1 },
      metadata: {
        sender: { subject: 'ada', type: 'service', role: 'user' },
        expires_at: '2026-01-01T00:01:05.000Z',
        sequence: 1,
      },
    });
    expect(event?.metadata).not.toHaveProperty('cron_job_id');
  });

  it('is due at its time, at once when that has passed, and is refused a year ahead', async () => {
    const rig = await open();
    const ada = rig.connect({ subject: 'ada' });
    expect(await delay(rig, ada, { deliver_at: '2026-01-01T00:00:02' })).toMatchObject({
      deliverAt: '2026-01-01T00:00:02.000Z',
    });
    await delay(rig, ada, { deliver_at: '2025-01-01T00:00:00Z' }, 'arq_past');
    rig.clock.advance(0);
    expect(await rig.fired()).toMatchObject([{ id: 'arq_past' }]);
    await expect(delay(rig, ada, { deliver_at: '2027-01-01T00:00:01Z' })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { field: 'options.deliver_at' },
    });
  });

  it('is refused as often as it was sent when it could not be stored', async () => {
    const engine = createMemoryEngine();
    const rig = await open({}, new FakeClock(), engine);
    const ada = rig.connect({ subject: 'ada' });
    let fail = (): void => {};
    vi.spyOn(engine.store, 'set').mockImplementationOnce(
      () =>
        new Promise((_resolve, reject) => {
          fail = () => reject(new BusError('STORAGE_UNAVAILABLE', 'The storage is away.'));
        }),
    );
    const both = Promise.allSettled([
      delay(rig, ada, { delay_seconds: 5 }),
      turn().then(() => delay(rig, ada, { delay_seconds: 5 })),
    ]);
    await turn();
    await turn();
    fail();
    for (const one of await both) {
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'STORAGE_UNAVAILABLE' } });
    }
    expect(await delay(rig, ada, { delay_seconds: 5 })).toMatchObject({ duplicate: false });
  });

  it('waits once, however often it is sent, and can be taken back', async () => {
    const rig = await open();
    const ada = rig.connect({ subject: 'ada' });
    const { jobId } = await delay(rig, ada, { delay_seconds: 5 });
    expect(await delay(rig, ada, { delay_seconds: 9 })).toMatchObject({
      jobId,
      duplicate: true,
      deliverAt: '2026-01-01T00:00:05.000Z',
    });
    expect(await rig.jobs(ada)).toMatchObject([{ job_id: jobId, room: 'r', channel: 'x' }]);
    await rig.run(ada, 'op.cron.cancel', { job_id: jobId });
    rig.clock.advance(10_000);
    expect(await rig.fired()).toEqual([]);
  });

  it('outlives its sender’s connection when that has a subject, and goes with it when not', async () => {
    const rig = await open();
    const ada = rig.connect({ subject: 'ada', role: 'user' });
    const nobody = rig.connect({ role: 'user' });
    await delay(rig, ada, { delay_seconds: 5 }, 'arq_ada');
    await delay(rig, nobody, { delay_seconds: 5 }, 'arq_nobody');
    rig.bus.disconnect(ada, 'test');
    rig.bus.disconnect(nobody, 'test');
    rig.clock.advance(5_000);
    expect((await rig.fired()).map((event) => (event as unknown as { id: string }).id)).toEqual(['arq_ada']);
  });

  it('is made up for after a restart', async () => {
    const clock = new FakeClock();
    const engine = createMemoryEngine({ now: () => clock.now() });
    const first = await open({}, clock, engine);
    await delay(first, first.connect({ subject: 'ada', role: 'user' }), { delay_seconds: 5 });
    first.operator.stop();
    clock.advance(3_600_000);
    const second = await open({}, clock, engine);
    await turn();
    expect(await second.fired()).toMatchObject([{ id: 'arq_later', metadata: { sender: { subject: 'ada' } } }]);
  });

  it('is published late rather than never when the process was paused', async () => {
    const rig = await open();
    await delay(rig, rig.connect({ subject: 'ada' }), { delay_seconds: 1 });
    rig.clock.pause(3_600_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(rig.operator.counts).toMatchObject({ fired: 1, missed: 0 });
  });

  it('waits for a storage that is away when it is due', async () => {
    const rig = await open();
    await delay(rig, rig.connect({ subject: 'ada' }), { delay_seconds: 1 });
    const { broker } = rig.bus.engine;
    const publish = broker.publish.bind(broker);
    broker.publish = () => Promise.reject(new BusError('STORAGE_UNAVAILABLE', 'It is away.'));
    rig.clock.advance(1_000);
    expect(await rig.fired()).toEqual([]);
    await settled(() => rig.clock.pending.length > 0);
    broker.publish = publish;
    rig.clock.advance(1_000);
    expect(await rig.fired()).toMatchObject([{ id: 'arq_later' }]);
    expect(rig.operator.counts).toMatchObject({ fired: 1, failed: 0 });
  });

  it('counts for the quota of jobs, and is refused for what would refuse it now', async () => {
    const rig = await open({ maxJobsPerSubject: 1 });
    const ada = rig.connect({ subject: 'ada', role: 'user' });
    await delay(rig, ada, { delay_seconds: 5 });
    await expect(delay(rig, ada, { delay_seconds: 5 }, 'arq_more')).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    const mute = rig.connect({ subject: 'mute', role: 'user', grants: { subscribe: ['*:*'] } });
    await expect(delay(rig, mute, { delay_seconds: 5 })).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    const caller = systemSender('http:x', ownerOf({ role: 'user' }));
    await expect(delay(rig, caller, { delay_seconds: 5 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    const payload = { text: 'x'.repeat(70_000) };
    const big = {
      id: 'arq_big',
      type: 'event',
      room: 'r',
      channel: 'x',
      payload,
      options: { delay_seconds: 1 },
    } as const;
    await expect(rig.operator.delay(rig.connect({ subject: 'bob' }), big)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  it('is refused beyond the end of its sender’s token, and not published when the right is gone', async () => {
    const rig = await open();
    const expiresAt = rig.clock.now() + 10_000;
    const ada = rig.connect({ subject: 'ada', role: 'user', expiresAt });
    await expect(delay(rig, ada, { delay_seconds: 11 })).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await delay(rig, ada, { delay_seconds: 9 });
    rig.renew(ada, { role: 'user', expiresAt, grants: { subscribe: ['*:*'] } });
    rig.clock.advance(9_000);
    expect(await rig.fired()).toEqual([]);
    expect(rig.operator.counts).toMatchObject({ refused: 1 });
  });
});
