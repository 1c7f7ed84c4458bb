/**
 * Acked publishes per second on the Redis engine, compared to the memory engine: `npx tsx bench/engine-redis.ts`.
 * Starts its own redis-server; a window of publishes is kept in flight, like that of many publishers on a node.
 * `--seconds N` (3) per case, `--json` prints one object instead of the table, `--degraded` measures in degraded mode,
 * which is the server's default, with Redis always available.
 */
import { parseArgs } from 'node:util';
import { newId, openDraft } from '@arqonbus/protocol';
import { degraded } from '../packages/bus/src/engine/degraded.ts';
import type { Engine, EngineEvents, Publication } from '../packages/bus/src/engine/engine.ts';
import { createMemoryEngine } from '../packages/bus/src/engine/memory/memory.ts';
import { createRedisEngine } from '../packages/bus/src/engine/redis/redis.ts';
import { PrivateRedis } from '../test/fixtures/private-redis.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    degraded: { type: 'boolean', default: false },
  },
});
const SECONDS = Number(values.seconds);
const TEXT = 'x'.repeat(180);

interface Figures {
  readonly name: string;
  readonly publications: number;
  readonly p50: number;
  readonly p99: number;
  readonly delivered: number;
}

function publication(channel: string): Publication {
  return {
    stream: { tenant: 'default', room: 'bench', channel },
    draft: openDraft({
      id: newId(),
      type: 'event',
      room: 'bench',
      channel,
      from: 'arq_client_bench',
      payload: { text: TEXT },
    }),
    identity: 'bench',
    retention: { size: 500, ttlMs: 86_400_000 },
  };
}

function counter(): EngineEvents & { count: number } {
  return {
    count: 0,
    deliver() {
      this.count += 1;
      return 1;
    },
    receive() {},
    health() {},
    historyGap() {},
    gap() {},
    trimmed() {},
  };
}

/** Keeps `window` publishes in flight on one engine for the given time; latencies in milliseconds. */
async function load(engine: Engine, window: number, latencies: number[]): Promise<number> {
  const end = performance.now() + SECONDS * 1000;
  let acked = 0;
  let turn = 0;
  const publisher = async (number: number): Promise<void> => {
    while (performance.now() < end) {
      const began = performance.now();
      const answer = engine.broker.publish(publication(`channel-${number % 10}`));
      // The memory engine answers synchronously; an occasional turn of the event loop keeps the comparison fair.
      if (answer instanceof Promise) await answer;
      else if (++turn % 256 === 0) await new Promise((resolve) => setImmediate(resolve));
      acked += 1;
      if (acked % 16 === 0) latencies.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: window }, (_, number) => publisher(number)));
  return acked;
}

async function measure(name: string, engines: readonly Engine[], window: number, publishers: number): Promise<Figures> {
  const events = engines.map(counter);
  for (const [index, engine] of engines.entries()) {
    await engine.open(events[index] as EngineEvents);
    await engine.broker.attach('default', 'bench');
  }
  const latencies: number[] = [];
  const began = performance.now();
  const acked = await Promise.all(engines.slice(0, publishers).map((engine) => load(engine, window, latencies)));
  const seconds = (performance.now() - began) / 1000;
  for (const engine of engines) await engine.close();
  latencies.sort((left, right) => left - right);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return {
    name,
    publications: Math.round(acked.reduce((sum, each) => sum + each, 0) / seconds),
    p50: at(0.5),
    p99: at(0.99),
    delivered: Math.round(events.reduce((sum, each) => sum + each.count, 0) / seconds),
  };
}

const figures: Figures[] = [];
figures.push(await measure('memory, window 256', [createMemoryEngine()], 256, 1));
for (const sync of ['no', 'everysec', 'always'] as const) {
  const server = await PrivateRedis.start({ sync });
  const node = (nodeId: string): Engine => {
    const engine = createRedisEngine({ url: server.url(), backend: 'redis', nodeId });
    return values.degraded ? degraded(engine) : engine;
  };
  try {
    const label = sync === 'no' ? 'redis' : `redis, appendfsync ${sync}`;
    figures.push(await measure(`${label}, 1 node, window 1`, [node('a')], 1, 1));
    figures.push(await measure(`${label}, 1 node, window 256`, [node('a')], 256, 1));
    figures.push(await measure(`${label}, 1 node, window 2048`, [node('a')], 2_048, 1));
    if (sync === 'no') {
      figures.push(await measure('redis, 2 nodes in one process, both publish', [node('a'), node('b')], 256, 2));
    }
  } finally {
    await server.stop();
  }
}

if (values.json) console.log(JSON.stringify(figures));
else {
  for (const { name, publications, p50, p99, delivered } of figures) {
    console.log(
      `${name.padEnd(46)}${String(publications).padStart(9)} acked/s${String(delivered).padStart(9)} delivered/s` +
        `   p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms`,
    );
  }
}
