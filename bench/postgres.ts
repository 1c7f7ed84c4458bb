/**
 * Ack latency on PostgreSQL: at a sustainable rate, and while millions of expired events are deleted.
 * `npx tsx bench/postgres.ts`, after `npm run build`; starts its own PostgreSQL server with default settings, which
 * syncs every commit.
 *
 * `--rounds N` (3) of `--seconds N` (10) for each measurement, of which the one with the median p99 counts; `--rate N`
 * (5,000) acked events per second; `--rows N` (10,000,000) events to expire, in `--streams N` (1,000) channels;
 * `--trim N` (300) maximum seconds for the deletion, which is measured once; `--write FILE` puts the table into the
 * benchmarks page.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ArqonBusClient } from '@arqonbus/client';
import type { Sql } from 'postgres';
import { BusProcess } from '../test/e2e/faults/bus-process.ts';
import { hasPostgres, PrivatePostgres } from '../test/fixtures/private-postgres.ts';
import { describeMachine, describePriority } from './machine.ts';
import { storeOldEvents } from './postgres/old-events.ts';
import { type Acks, publishPaced } from './postgres/paced.ts';
import { table, writeSection } from './report.ts';

const CLIENTS = 4;
/** Acked events per second during the deletion. */
const SMALL_RATE = 500;
const WARMUP_MS = 2_000;
const LOOK_MS = 500;

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '5000' },
    rows: { type: 'string', default: '10000000' },
    streams: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    trim: { type: 'string', default: '300' },
    write: { type: 'string' },
  },
});
const RATE = positive('rate', values.rate);
const ROWS = positive('rows', values.rows);
const STREAMS = positive('streams', values.streams);
const SECONDS = positive('seconds', values.seconds);
const ROUNDS = positive('rounds', values.rounds);
const TRIM_SECONDS = positive('trim', values.trim);
if (!hasPostgres()) process.exit(1);

const channels = Array.from({ length: STREAMS }, (_, index) => `bench:c${index}`);
const postgres = await PrivatePostgres.start({ durable: true, settings: ['shared_buffers=128MB'] });
const sql = postgres.client();
const rows: string[][] = [];
let trimmed = '';
try {
  await withNode({}, async (clients, node) => {
    await Promise.all(channels.map((channel) => clients[0]?.publish(channel, { text: 'first' })));
    await measure(`${whole(RATE)} a second, no subscriber`, clients, RATE);
    const subscriber = new ArqonBusClient({ url: node.url });
    await subscriber.connect();
    await subscriber.subscribe('bench', { onMessage: () => {} });
    await measure(`${whole(RATE)} a second, one subscriber to all channels`, clients, RATE);
    await subscriber.close();
  });
  console.error(`making ${whole(ROWS)} old events`);
  await storeOldEvents(sql, ROWS);
  await withNode({}, (clients) =>
    measure(`${SMALL_RATE} a second, ${whole(ROWS)} stored events kept`, clients, SMALL_RATE),
  );
  // Expires the events. Streams without publishes keep their previous limits.
  await sql`UPDATE arqon_streams SET ttl_ms = 60000`;
  const before = await countDeleted(sql);
  await withNode({ ARQONBUS_HISTORY_TTL_SECONDS: '60' }, async (clients) => {
    const deleting = watchDeletion(sql, before);
    await measure(`${SMALL_RATE} a second during their deletion`, clients, SMALL_RATE, deleting);
    const { count, seconds } = await deleting;
    trimmed = `Deleted: ${whole(count)} events in ${Math.round(seconds)} s, ${whole(count / seconds)} a second.`;
  });
} finally {
  await sql.end({ timeout: 0 });
  await postgres.stop();
}
const day = new Date().toISOString().slice(0, 10);
const text = [
  table(['acked events', 'a second', 'p50', 'p99', 'max'], rows),
  `${trimmed} ${CLIENTS} SDK clients publish to ${whole(STREAMS)} channels in turn through one node. PostgreSQL has its default settings (\`shared_buffers\` ` +
    '128 MB), every commit synced. Times count from the moment at which an event was due.',
  `Measured ${day}. ${ROUNDS === 1 ? '' : `median of ${ROUNDS} × ${SECONDS} s, deletion once. `}Clients, node and PostgreSQL share one machine: ${describeMachine({ server: undefined, generator: undefined })}${describePriority()}.`,
].join('\n\n');
console.log(text);
if (values.write !== undefined) writeSection('postgres', text, values.write);

async function withNode(
  settings: Readonly<Record<string, string>>,
  use: (clients: readonly ArqonBusClient[], node: BusProcess) => Promise<void>,
): Promise<void> {
  const node = await BusProcess.start('bench', {
    ARQONBUS_STORAGE_BACKEND: 'postgres',
    ARQONBUS_POSTGRES_URL: postgres.url(),
    ARQONBUS_MAX_HISTORY_SIZE: '10000000',
    ARQONBUS_MAX_HISTORY_BYTES_PER_CHANNEL: '1099511627776',
    ARQONBUS_MAX_HISTORY_BYTES_PER_TENANT: '1099511627776',
    ARQONBUS_MAX_HISTORY_BYTES: '0',
    ...settings,
  });
  const clients = Array.from({ length: CLIENTS }, () => new ArqonBusClient({ url: node.url, timeoutMs: 60_000 }));
  try {
    await Promise.all(clients.map((client) => client.connect()));
    await use(clients, node);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
    await node.kill();
  }
}

/** Measures once until `until` resolves; without it, several rounds of the usual duration. */
async function measure(
  title: string,
  clients: readonly ArqonBusClient[],
  rate: number,
  until: Promise<unknown> | null = null,
): Promise<void> {
  if (until === null) await publishPaced(clients, { rate, channels, until: pause(WARMUP_MS) });
  const rounds: Acks[] = [];
  for (let round = 0; round < (until === null ? ROUNDS : 1); round += 1) {
    const acks = await publishPaced(clients, { rate, channels, until: until ?? pause(SECONDS * 1_000) });
    console.error(`${title}: ${JSON.stringify(acks)}`);
    rounds.push(acks);
  }
  rounds.sort((one, other) => one.p99 - other.p99);
  rows.push([title, ...cells(rounds[Math.floor((rounds.length - 1) / 2)] as Acks)]);
}

function cells({ perSecond, p50, p99, max }: Acks): string[] {
  return [whole(perSecond), ...[p50, p99, max].map((value) => `${value.toFixed(1)} ms`)];
}

/** Resolves when nearly all old events are deleted, or after the time limit. `before`: earlier deletions. */
async function watchDeletion(client: Sql, before: number): Promise<{ count: number; seconds: number }> {
  const began = performance.now();
  for (;;) {
    await pause(LOOK_MS);
    const count = (await countDeleted(client)) - before;
    const seconds = (performance.now() - began) / 1_000;
    console.error(`${seconds.toFixed(1)} s: ${whole(count)} deleted`);
    if (count >= ROWS * 0.999 || seconds >= TRIM_SECONDS) return { count, seconds };
  }
}

async function countDeleted(client: Sql): Promise<number> {
  const [row] = await client<{ count: number }[]>`
    SELECT n_tup_del::float8 AS count FROM pg_stat_user_tables WHERE relname = 'arqon_messages'`;
  return row?.count ?? 0;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is a whole number, at least 1, not "${text}".`);
  return value;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
