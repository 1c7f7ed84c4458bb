/**
 * Acked publishes per second: SQLite (committed to disk) compared to memory, under the same load. Several senders
 * publish in windows: each waits for its acks before it sends the next window.
 *
 *     npx tsx bench/engine-sqlite.ts [--seconds 3] [--channels 100] [--senders 50] [--window 32] [--path FILE] [--degraded]
 *
 * `--degraded`: in degraded mode, which is the server's default, with the storage always available.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { degraded } from '../packages/bus/src/engine/degraded.ts';
import type { Engine, EngineEvents, Published, StreamAddress } from '../packages/bus/src/engine/engine.ts';
import { createMemoryEngine } from '../packages/bus/src/engine/memory/memory.ts';
import { createSqliteEngine } from '../packages/bus/src/engine/sqlite/sqlite.ts';
import { openDraft } from '../packages/protocol/src/index.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    channels: { type: 'string', default: '100' },
    senders: { type: 'string', default: '50' },
    window: { type: 'string', default: '32' },
    path: { type: 'string' },
    degraded: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const retention = { size: 500, ttlMs: 86_400_000 };
const payload = { text: 'x'.repeat(100), numbers: [1, 2, 3] };
const streams: StreamAddress[] = [];
for (let index = 0; index < Number(values.channels); index += 1) {
  streams.push({ tenant: 'default', room: `room-${index % 10}`, channel: `channel-${index}` });
}

interface Figures {
  readonly engine: string;
  readonly acksPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly cpuUsPerAck: number;
}

async function measure(engine: Engine): Promise<Figures> {
  let delivered = 0;
  const events: EngineEvents = {
    deliver: () => {
      delivered += 1;
      return 1;
    },
    receive() {},
    health({ reason }) {
      throw new Error(reason);
    },
    historyGap() {},
    gap() {},
    trimmed() {},
  };
  await engine.open(events);
  let acks = 0;
  let made = 0;
  const waits: number[] = [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + seconds * 1000;

  async function sender(number: number): Promise<void> {
    const identity = `arq_client_${String(number).padStart(26, 'k')}`;
    while (performance.now() < end) {
      const sent = performance.now();
      const window: (Published | Promise<Published>)[] = [];
      for (let index = 0; index < Number(values.window); index += 1) {
        made += 1;
        const stream = streams[made % streams.length]!;
        const id = `arq_0a1b2c3d4e5f_${made.toString(36).padStart(8, '0')}`;
        const { room, channel } = stream;
        const draft = openDraft({ id, type: 'event', room, channel, from: identity, payload });
        window.push(engine.broker.publish({ stream, draft, identity, retention }));
      }
      await Promise.all(window);
      acks += window.length;
      waits.push(performance.now() - sent);
      // Yields to the event loop, as between the frames of a socket.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await Promise.all(Array.from({ length: Number(values.senders) }, (_, number) => sender(number)));
  const elapsed = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await engine.close();
  if (delivered !== acks) throw new Error(`${acks} acknowledged, ${delivered} delivered`);
  waits.sort((left, right) => left - right);
  const at = (share: number): number => Math.round(waits[Math.floor((waits.length - 1) * share)]! * 100) / 100;
  return {
    engine: engine.backend,
    acksPerSecond: Math.round(acks / elapsed),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
    cpuUsPerAck: Math.round(((user + system) / acks) * 10) / 10,
  };
}

const directory = await mkdtemp(join(tmpdir(), 'arqonbus-bench-'));
try {
  console.log(JSON.stringify(await measure(createMemoryEngine())));
  const path = values.path ?? join(directory, 'bench.db');
  const engine = createSqliteEngine({ path });
  console.log(JSON.stringify(await measure(values.degraded ? degraded(engine) : engine)));
} finally {
  await rm(directory, { recursive: true });
}
