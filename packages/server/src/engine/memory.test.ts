import { vi } from 'vitest';
import { engineSuite } from './engine.suite.ts';
import { createMemoryEngine } from './memory.ts';

engineSuite(
  'memory',
  () => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
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
