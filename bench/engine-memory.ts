/**
 * Publishes per second on the memory engine, with idempotency, full history and a `deliver` that does nothing; and the
 * memory of an idle channel with one event.
 *
 *     npx tsx bench/engine-memory.ts [--seconds 3] [--channels 100] [--senders 100] [--idle 100000]
 */
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { EngineEvents, StreamAddress } from '../packages/bus/src/engine/engine.ts';
import { createMemoryEngine } from '../packages/bus/src/engine/memory/memory.ts';
import type { Draft } from '../packages/protocol/src/index.ts';
import { openDraft } from '../packages/protocol/src/index.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    channels: { type: 'string', default: '100' },
    senders: { type: 'string', default: '100' },
    idle: { type: 'string', default: '100000' },
  },
});
const seconds = Number(values.seconds);
const BATCH = 1_000;

const events: EngineEvents = { deliver: () => 1, receive() {}, health() {}, historyGap() {}, gap() {}, trimmed() {} };
const retention = { size: 500, ttlMs: 86_400_000, bytes: 16 * 1_048_576 };

/** Heap bytes of a channel with one event, without its payload of 100 B; ids are stored outside the heap. */
async function measureIdleChannel(count: number): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const engine = createMemoryEngine();
  await engine.open(events);
  const payload = { text: 'x'.repeat(100 - '{"text":""}'.length) };
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < count; index += 1) {
    // A thousand rooms; the names come from JSON.parse, as in a frame.
    const [room, channel, id] = JSON.parse(
      `["room-${index % 1000}","channel-${index}","arq_0a1b2c3d4e5f_${index.toString(36).padStart(8, '0')}"]`,
    ) as [string, string, string];
    const draft = openDraft({
      id,
      type: 'event',
      room,
      channel,
      from: 'arq_client_kkkkkkkkkkkkkkkkkkkkkkkkkk',
      payload,
    });
    engine.broker.publish({ stream: { tenant: 'default', room, channel }, draft, identity: 'ada', retention });
  }
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / count - 100;
  await engine.close();
  return Math.round(bytes);
}

const idleChannelBytes = await measureIdleChannel(Number(values.idle));
const engine = createMemoryEngine();
await engine.open(events);

const streams: StreamAddress[] = [];
for (let index = 0; index < Number(values.channels); index += 1) {
  streams.push({ tenant: 'default', room: `room-${index % 10}`, channel: `channel-${index}` });
}
const identities: string[] = [];
for (let index = 0; index < Number(values.senders); index += 1) {
  identities.push(`arq_client_${index.toString(36).padStart(26, 'k')}`);
}
const payload = { text: 'x'.repeat(100), numbers: [1, 2, 3] };

let made = 0;
/**
 * Drafts as created by the pipeline; creating them is not measured. Their ids come from JSON.parse, so they are flat
 * strings.
 */
function drafts(): Draft[] {
  const batch: Draft[] = [];
  for (let index = 0; index < BATCH; index += 1) {
    made += 1;
    const id = JSON.parse(`"arq_0a1b2c3d4e5f_${made.toString(36).padStart(8, '0')}"`) as string;
    batch.push(openDraft({ id, type: 'event', room: 'room', channel: 'channel', from: identities[0]!, payload }));
  }
  return batch;
}

let published = 0;
let spentNs = 0n;
let worstNs = 0n;
let cpuUs = 0;
const end = Date.now() + seconds * 1000;
for (let turn = 0; Date.now() < end; turn += 1) {
  const batch = drafts();
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let index = 0; index < BATCH; index += 1) {
    const number = turn * 31 + index;
    engine.broker.publish({
      stream: streams[number % streams.length]!,
      draft: batch[index]!,
      identity: identities[number % identities.length]!,
      retention,
    });
  }
  const spent = process.hrtime.bigint() - start;
  const { user, system } = process.cpuUsage(cpu);
  cpuUs += user + system;
  spentNs += spent;
  if (spent > worstNs) worstNs = spent;
  published += BATCH;
}
const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
const mib = (bytes: number): number => Math.round(bytes / 1_048_576);
console.log(
  JSON.stringify({
    engine: 'memory',
    publishes: published,
    publishesPerSecond: Math.round(published / (Number(spentNs) / 1e9)),
    nsPerPublish: Math.round(Number(spentNs) / published),
    // All threads of the process, including the garbage collector; the best figure if the machine is shared.
    cpuNsPerPublish: Math.round((cpuUs * 1000) / published),
    worstBatchMs: Number(worstNs) / 1e6,
    batch: BATCH,
    rssMiB: mib(rss),
    heapMiB: mib(heapUsed),
    idsMiB: mib(arrayBuffers),
    idleChannelBytes,
  }),
);
await engine.close();
