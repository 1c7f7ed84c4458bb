import { openDraft } from '@arqonbus/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, Published, Retention } from '../engine.ts';
import { type FakeTime, fakeTime } from '../suite/fake-time.suite.ts';
import { Recorder, range, stream } from '../suite/rig.suite.ts';
import { createMemoryEngine, type MemoryEngineOptions } from './memory.ts';

const KIB = 1_024;
const retention = { size: 100_000, ttlMs: 86_400_000 };

describe('histories in memory, over their bounds', () => {
  let time: FakeTime;
  let engine: Engine;
  let seen: Recorder;
  let sent = 0;

  beforeEach(() => {
    time = fakeTime();
    seen = new Recorder();
  });
  afterEach(async () => {
    await engine.close();
    time.stop();
  });

  async function open(options: MemoryEngineOptions): Promise<void> {
    engine = createMemoryEngine({ now: time.now, ...options });
    await engine.open(seen);
  }

  /** Publishes events whose texts have about so many bytes. */
  function publish(
    channel: string,
    count: number,
    bytes: number,
    fill = 'x',
    tenant = 'default',
    limits: Retention = retention,
  ): Published[] {
    return range(1, count).map(() => {
      sent += 1;
      const to = stream(channel, 'science', tenant);
      const payload = { body: fill.repeat(bytes / Buffer.byteLength(fill)) };
      const draft = openDraft({ id: `arq_${sent}`, type: 'event', ...to, from: 'arq_client_ada', payload });
      return engine.broker.publish({ stream: to, draft, identity: 'ada', retention: limits }) as Published;
    });
  }

  async function kept(channel: string, tenant = 'default'): Promise<number[]> {
    const events = await engine.broker.history(stream(channel, 'science', tenant), { limit: 100_000 });
    return events.map((event) => event.sequence);
  }

  it('lose the oldest events of the largest stream, until all of the process fit', async () => {
    await open({ maxHistoryBytes: 100 * KIB });
    publish('small', 10, KIB);
    publish('large', 50, KIB);
    expect(await kept('large')).toEqual(range(1, 50));
    const results = publish('small', 60, KIB);
    expect(results.map((result) => result.sequence)).toEqual(range(11, 70));
    const [small, large] = [await kept('small'), await kept('large')];
    expect(small).toEqual(range(small[0] ?? 0, 70));
    expect(large).toEqual(range(large[0] ?? 0, 50));
    // The largest gave first, until both were equal; neither then gives while the other has more.
    expect(Math.abs(small.length - large.length)).toBeLessThanOrEqual(1);
    expect((await engine.stats()).bytes).toBeLessThanOrEqual(100 * KIB);
    expect((await engine.stats()).bytes).toBeGreaterThan(70 * KIB);
  });

  it('lose those of the tenant that has too much, and of no other', async () => {
    await open({ maxHistoryBytes: 1_000 * KIB, maxHistoryBytesPerTenant: 50 * KIB });
    publish('general', 30, KIB, 'x', 'acme');
    publish('general', 200, KIB);
    expect(await kept('general', 'acme')).toEqual(range(1, 30));
    const left = await kept('general');
    expect(left.at(-1)).toBe(200);
    expect(left.length).toBeGreaterThan(30);
    expect(left.length).toBeLessThan(50);
  });

  it('lose those of the largest stream of any tenant when the process is full', async () => {
    await open({ maxHistoryBytes: 100 * KIB });
    publish('general', 60, KIB, 'x', 'acme');
    publish('general', 15, KIB);
    publish('other', 15, KIB);
    expect(await kept('general')).toEqual(range(1, 15));
    expect(await kept('other')).toEqual(range(1, 15));
    expect((await kept('general', 'acme')).length).toBeLessThan(55);
    await time.elapse(1_000);
    expect(seen.trims).toEqual([{ scope: 'process', tenant: 'acme', events: expect.any(Number) }]);
    expect(seen.trims[0]?.events).toBe(60 - (await kept('general', 'acme')).length);
  });

  it('spare the last event of a stream that keeps it, as long as anything else can go', async () => {
    await open({ maxHistoryBytes: 100 * KIB });
    const keeping = { ...retention, keepLast: true };
    publish('large', 1, 40 * KIB, 'x', 'default', keeping);
    publish('other', 60, KIB, 'x', 'acme', keeping);
    publish('busy', 100, KIB, 'x', 'acme');
    expect(await kept('large')).toEqual([1]);
    publish('busy', 200, KIB);
    expect(await kept('large')).toEqual([1]);
    expect((await kept('other', 'acme')).at(-1)).toBe(60);
    expect((await engine.stats()).bytes).toBeLessThanOrEqual(100 * KIB);
    // Kept events alone, over the bound: the largest goes, and its stream may rest then.
    for (const n of range(1, 7)) publish(`kept-${n}`, 1, 12 * KIB, 'x', 'default', keeping);
    expect(await kept('large')).toEqual([]);
    expect(await kept('kept-7')).toEqual([1]);
    expect((await engine.stats()).bytes).toBeLessThanOrEqual(100 * KIB);
    await time.elapse(5_000);
    await time.elapse(3_600_000 + 10_000);
    expect(await engine.broker.find(stream('large'))).toBeNull();
    expect(await kept('kept-7')).toEqual([1]);
  });

  it('count what a text takes in memory, which beyond ASCII is two bytes a character', async () => {
    await open({ maxHistoryBytes: 100 * KIB });
    publish('ascii', 100, KIB);
    const ascii = (await kept('ascii')).length;
    await engine.broker.drop(stream('ascii'));
    publish('wide', 100, KIB, `${'x'.repeat(KIB - 4)}😀`);
    const wide = (await kept('wide')).length;
    expect(wide).toBeLessThan(0.6 * ascii);
    expect(wide).toBeGreaterThan(0.4 * ascii);
  });

  it('never refuse a publication, not even one that no bound leaves room for', async () => {
    await open({ maxHistoryBytes: 4 * KIB, maxHistoryBytesPerTenant: 2 * KIB });
    const results = publish('general', 3, 10 * KIB);
    expect(results.map(({ sequence, stored }) => [sequence, stored])).toEqual(range(1, 3).map((n) => [n, 'memory']));
    expect(seen.events).toHaveLength(3);
    expect(await kept('general')).toEqual([]);
    publish('general', 1, KIB);
    expect(await kept('general')).toEqual([4]);
  });

  it('are told once a minute at most, of each scope and tenant, with how many events went', async () => {
    await open({ maxHistoryBytes: 100 * KIB, maxHistoryBytesPerTenant: 10 * KIB });
    publish('general', 30, KIB);
    publish('general', 30, KIB, 'x', 'acme');
    await time.elapse(1_000);
    const gone = 30 - (await kept('general')).length;
    expect(seen.trims).toEqual([
      { scope: 'tenant', tenant: 'default', events: gone },
      { scope: 'tenant', tenant: 'acme', events: gone },
    ]);
    publish('general', 5, KIB);
    await time.elapse(30_000);
    publish('general', 5, KIB);
    await time.elapse(29_000);
    expect(seen.trims).toHaveLength(2);
    await time.elapse(1_000);
    expect(seen.trims.slice(2)).toEqual([{ scope: 'tenant', tenant: 'default', events: 10 }]);
    await time.elapse(120_000);
    expect(seen.trims).toHaveLength(3);
  });

  it('are counted again when events expire and streams are dropped', async () => {
    await open({ maxHistoryBytes: 64 * KIB });
    publish('general', 50, KIB);
    await engine.broker.drop(stream('general'));
    publish('general', 50, KIB);
    await time.elapse(86_400_000);
    publish('other', 50, KIB);
    expect(await kept('other')).toEqual(range(1, 50));
    expect(await kept('general')).toEqual([]);
    expect(seen.trims).toEqual([]);
  });

  it('find the largest of many streams without a look at the others', async () => {
    await open({ maxHistoryBytes: 20_000 * KIB });
    for (const n of range(1, 20_000)) publish(`channel-${n}`, 1, 256);
    const start = performance.now();
    publish('busy', 20_000, KIB);
    const many = performance.now() - start;
    await engine.close();
    await open({ maxHistoryBytes: 1_000 * KIB });
    const again = performance.now();
    publish('busy', 20_000, KIB);
    // With one stream there is nothing to look for; a scan would make each of the others cost a thousandfold.
    expect(many).toBeLessThan(20 * (performance.now() - again));
  });
});
