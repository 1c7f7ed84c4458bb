import { afterEach, expect, it, vi } from 'vitest';
import { engineSuite } from '../engine.suite.ts';
import { fakeTime } from '../suite/fake-time.suite.ts';
import { publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { createMemoryEngine } from './memory.ts';

afterEach(() => {
  vi.useRealTimers();
});

engineSuite(
  'memory',
  () => {
    const time = fakeTime();
    return {
      async open(events) {
        const engine = createMemoryEngine({ now: time.now });
        await engine.open(events);
        return engine;
      },
      elapse: time.elapse,
      async cleanup() {
        time.stop();
      },
    };
  },
  { clusters: false, durable: false, fakeClock: true },
);

it('answers a publication synchronously, delivered', async () => {
  const engine = createMemoryEngine();
  const seen = new Recorder();
  await engine.open(seen);
  const result = engine.broker.publish({
    stream: stream('general'),
    draft: { id: 'arq_1', from: 'http:test', time: 0, open: '{"metadata":{' },
    identity: 'alice',
    retention: { size: 1, ttlMs: 1000 },
  });
  expect(result).toMatchObject({ sequence: 1, stored: 'memory' });
  expect(seen.events).toHaveLength(1);
  await engine.close();
});

it('lets go of what is past its age although nobody reads it, and leaves no timer behind', async () => {
  const time = fakeTime();
  const engine = createMemoryEngine({ now: time.now });
  await engine.open(new Recorder());
  for (let n = 0; n < 40; n += 1) {
    await publishMany(engine, stream(`channel-${n}`), 100, () => ({ retention: { size: 100, ttlMs: 5_000 } }));
  }
  await engine.store.set({ tenant: 'default', space: 'store', namespace: 'n' }, 'k', '1', { ttlMs: 60_000 });
  expect(await engine.stats()).toMatchObject({ streams: 40, messages: 4_000 });
  await time.elapse(10_000);
  expect(await engine.stats()).toMatchObject({ streams: 40, messages: 0, bytes: 0 });
  await engine.close();
  expect(vi.getTimerCount()).toBe(0);
});
