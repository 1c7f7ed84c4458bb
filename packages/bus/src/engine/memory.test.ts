import { afterEach, expect, it, vi } from 'vitest';
import { engineSuite } from './engine.suite.ts';
import { createMemoryEngine } from './memory.ts';
import { publishMany, Recorder, stream } from './suite/rig.suite.ts';

function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
}

afterEach(() => {
  vi.useRealTimers();
});

engineSuite(
  'memory',
  () => {
    fakeTime();
    return {
      async open(events) {
        const engine = createMemoryEngine();
        await engine.open(events);
        return engine;
      },
      async elapse(ms) {
        await vi.advanceTimersByTimeAsync(ms);
      },
      async cleanup() {
        vi.useRealTimers();
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
  fakeTime();
  const engine = createMemoryEngine();
  await engine.open(new Recorder());
  for (let n = 0; n < 40; n += 1) {
    await publishMany(engine, stream(`channel-${n}`), 100, () => ({ retention: { size: 100, ttlMs: 5_000 } }));
  }
  await engine.store.set({ tenant: 'default', space: 'store', namespace: 'n' }, 'k', '1', { ttlMs: 60_000 });
  expect(await engine.stats()).toMatchObject({ streams: 40, messages: 4_000 });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await engine.stats()).toMatchObject({ streams: 40, messages: 0, bytes: 0 });
  await engine.close();
  expect(vi.getTimerCount()).toBe(0);
});
