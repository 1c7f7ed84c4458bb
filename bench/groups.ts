/**
 * Events handled per second by the workers of a group: `npx tsx bench/groups.ts`, after `npm run build`. Each run has
 * its own server; all events are stored before the first delivery, and the time runs from then until the group has
 * recorded the last ack. `--events N` (20,000) per run, `--rounds N` (3), of which the median counts, `--write FILE`
 * puts the table into the benchmarks page.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ArqonBusClient } from '@arqonbus/client';
import { BusProcess } from '../test/e2e/faults/bus-process.ts';
import { hasPostgres, PrivatePostgres } from '../test/fixtures/private-postgres.ts';
import { hasRedis, PrivateRedis } from '../test/fixtures/private-redis.ts';
import { describeMachine } from './machine.ts';
import { table, writeSection } from './report.ts';

const WORKERS = [1, 4, 16] as const;
const PREFETCH = 64;
/** Publishes in flight while the events are created. */
const WINDOW = 256;
const PLACE = { room: 'bench', channel: 'jobs', group: 'workers' } as const;
const TEXT = 'x'.repeat(180);

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    write: { type: 'string' },
  },
});
const EVENTS = Number(values.events);
const ROUNDS = Number(values.rounds);
if (!Number.isInteger(EVENTS) || EVENTS < 1) throw new Error('--events is a whole number, at least 1.');
if (!Number.isInteger(ROUNDS) || ROUNDS < 1) throw new Error('--rounds is a whole number, at least 1.');

/** A new backend for each run: its settings, and how to remove it. */
interface Backend {
  readonly settings: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

async function openBackend(engine: string): Promise<Backend> {
  if (engine === 'redis') {
    const redis = await PrivateRedis.start({ sync: 'everysec' });
    const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
    return { settings, stop: () => redis.stop() };
  }
  if (engine === 'postgres') {
    const postgres = await PrivatePostgres.start({ durable: true });
    const settings = { ARQONBUS_STORAGE_BACKEND: 'postgres', ARQONBUS_POSTGRES_URL: postgres.url() };
    return { settings, stop: () => postgres.stop() };
  }
  const folder = mkdtempSync(join(tmpdir(), 'arqonbus-bench-'));
  const settings = { ARQONBUS_STORAGE_BACKEND: engine, ARQONBUS_SQLITE_PATH: join(folder, 'bus.db') };
  return { settings, stop: async () => rmSync(folder, { recursive: true }) };
}

/** Events handled per second in one run. */
async function measure(engine: string, workers: number): Promise<number> {
  const backend = await openBackend(engine);
  const server = await BusProcess.start('bench', { ...backend.settings, ARQONBUS_MAX_HISTORY_SIZE: '1000000' });
  const clients: ArqonBusClient[] = [];
  const connect = async (): Promise<ArqonBusClient> => {
    const client = new ArqonBusClient({ url: server.url });
    clients.push(client);
    await client.connect();
    return client;
  };
  try {
    const maker = await connect();
    await maker.command('group.create', { ...PLACE, start: 'all', max_unacked: 4_096 });
    await maker.command('group.pause', PLACE);
    await publish(maker);
    let handled = 0;
    let tellAll: () => void = () => {};
    const all = new Promise<void>((resolve) => {
      tellAll = resolve;
    });
    const onMessage = (): void => {
      handled += 1;
      if (handled === EVENTS) tellAll();
    };
    for (let number = 0; number < workers; number += 1) {
      const worker = await connect();
      await worker.subscribe(`${PLACE.room}:${PLACE.channel}`, { group: PLACE.group, prefetch: PREFETCH, onMessage });
    }
    const began = performance.now();
    await maker.command('group.resume', PLACE);
    await all;
    // Waits for the last acks.
    while ((await maker.command('group.info', PLACE)).handled < EVENTS);
    return (EVENTS * 1_000) / (performance.now() - began);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await server.kill();
    await backend.stop();
  }
}

async function publish(client: ArqonBusClient): Promise<void> {
  let left = EVENTS;
  const publisher = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await client.publish(`${PLACE.room}:${PLACE.channel}`, { text: TEXT });
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, publisher));
}

const ENGINES = ['memory', 'sqlite', ...(hasRedis() ? ['redis'] : []), ...(hasPostgres() ? ['postgres'] : [])];
const rows: string[][] = [];
for (const engine of ENGINES) {
  const row = [engine];
  for (const workers of WORKERS) {
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) rates.push(await measure(engine, workers));
    rates.sort((one, other) => one - other);
    row.push(Math.round(rates[Math.floor(ROUNDS / 2)] as number).toLocaleString('en-US'));
    console.error(`${engine}, ${workers} workers: ${row.at(-1)} handled/s`);
  }
  rows.push(row);
}
const figures = table(['engine', ...WORKERS.map((count) => `${count} worker${count === 1 ? '' : 's'}`)], rows);
console.log(figures);
if (values.write !== undefined) {
  const day = new Date().toISOString().slice(0, 10);
  const how = `Measured ${day}, median of ${ROUNDS} × ${EVENTS.toLocaleString('en-US')} events. Machine: ${describeMachine({ server: undefined, generator: undefined })}.`;
  writeSection('groups', `${figures}\n\n${how}`, values.write);
}
