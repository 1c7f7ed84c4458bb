/**
 * The cost of the storage engines: acked publishes per second over WebSocket, and fan-out, each compared to memory.
 * `npx tsx bench/storage.ts [--write FILE]`; `--rounds N` (3) and `--seconds N` (2) per measurement, `--engines LIST`.
 * Starts its own Redis and PostgreSQL servers; both sync before every answer.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '../test/fixtures/free-port.ts';
import { hasPostgres, PrivatePostgres } from '../test/fixtures/private-postgres.ts';
import { hasRedis, PrivateRedis } from '../test/fixtures/private-redis.ts';
import { CHANNEL, ENVELOPE } from './envelope.ts';
import { median } from './figures.ts';
import { Connection } from './load/connection.ts';
import { OPCODE_TEXT } from './load/frame-bytes.ts';
import { MessageTemplate } from './load/message.ts';
import { openConnections } from './load/open-connections.ts';
import { publishWindow } from './load/publish.ts';
import { clock, Tally } from './load/tally.ts';
import { describeMachine } from './machine.ts';
import { arqonbus } from './peers/arqonbus.ts';
import { tieEverythingToThisProcess, withServer } from './processes.ts';
import { table, writeSection } from './report.ts';
import { discardScratch, makeScratch } from './scratch.ts';

const WARMUP_MS = 1_000;
const PUBLISHERS = 4;
const WINDOW = 256;
const SUBSCRIBERS = 100;
/** So many that delivery dominates, not storage. */
const MANY_SUBSCRIBERS = 1_000;
/** Large enough that no engine waits for its disk: measures throughput, not latency. */
const FANOUT_WINDOW = 1_024;
/** Latency is measured for every n-th message of a subscriber, which also verifies the order. */
const INSPECT_EVERY = 16;

interface Case {
  readonly name: string;
  readonly title: string;
  readonly nodes: 1 | 2;
  /** Whether its storage is available here. Reports it if not. */
  isThere?(): boolean;
  /** Starts new, empty storage for the servers. */
  open(folder: string): Promise<Storage>;
}

interface Storage {
  readonly settings: Readonly<Record<string, string>>;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** Storage without a server. */
function local(settings: Readonly<Record<string, string>>): Storage {
  return { settings, kill: async () => {}, stop: async () => {} };
}

async function openRedis(): Promise<Storage> {
  const redis = await PrivateRedis.start({ sync: 'always' });
  const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
  return { settings, kill: () => redis.kill(), stop: () => redis.stop() };
}

async function openPostgres(): Promise<Storage> {
  const postgres = await PrivatePostgres.start({ durable: true });
  const settings = { ARQONBUS_STORAGE_BACKEND: 'postgres', ARQONBUS_POSTGRES_URL: postgres.url() };
  return { settings, kill: () => postgres.kill(), stop: () => postgres.stop() };
}

const CASES: readonly Case[] = [
  { name: 'memory', title: 'memory', nodes: 1, open: async () => local({}) },
  {
    name: 'workers',
    title: 'memory, two workers',
    nodes: 1,
    open: async () => local({ ARQONBUS_WORKERS: '2' }),
  },
  {
    name: 'sqlite',
    title: 'SQLite',
    nodes: 1,
    open: async (folder) => local({ ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: join(folder, 'bus.db') }),
  },
  { name: 'redis', title: 'Redis, one node', nodes: 1, isThere: hasRedis, open: openRedis },
  { name: 'redis-two', title: 'Redis, two nodes', nodes: 2, isThere: hasRedis, open: openRedis },
  { name: 'postgres', title: 'PostgreSQL, one node', nodes: 1, isThere: hasPostgres, open: openPostgres },
  { name: 'postgres-two', title: 'PostgreSQL, two nodes', nodes: 2, isThere: hasPostgres, open: openPostgres },
];

interface Result {
  readonly acked: number;
  readonly fanOut: number;
  readonly wideFanOut: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const { values } = parseArgs({
  options: {
    write: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    engines: { type: 'string', default: CASES.map(({ name }) => name).join(',') },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const names = values.engines.split(',');
const chosen = CASES.filter(({ name, isThere }) => names.includes(name) && (isThere?.() ?? true));

tieEverythingToThisProcess();
const results = new Map<Case, Result[]>(chosen.map((one) => [one, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const one of chosen) {
    const result = await run(one);
    results.get(one)?.push(result);
    console.error(`round ${round + 1}, ${one.name}: ${JSON.stringify(result)}`);
  }
}
const report = tell();
console.log(report);
if (values.write !== undefined) writeSection('engines', report, values.write);

/** Starts the case's servers with new, empty storage, and runs all measurements. */
async function run(one: Case): Promise<Result> {
  const folder = makeScratch();
  const storage = await one.open(folder);
  const end = (): void => void storage.kill();
  process.once('exit', end);
  try {
    const { settings } = storage;
    const withNodes = <T>(use: (publishAt: number, subscribeAt: number) => Promise<T>): Promise<T> =>
      withNode(settings, (first) =>
        one.nodes === 1 ? use(first, first) : withNode(settings, (second) => use(first, second)),
      );
    const narrow = await withNodes(measure);
    // New servers, so that the previous subscribers are gone.
    const wide = await withNodes((first, second) => measureFanOut(first, second, MANY_SUBSCRIBERS));
    return { ...narrow, wideFanOut: wide.fanOut };
  } finally {
    process.off('exit', end);
    await storage.stop();
    discardScratch(folder);
  }
}

async function withNode<T>(settings: Readonly<Record<string, string>>, use: (port: number) => Promise<T>): Promise<T> {
  const port = await freePort();
  const launch = arqonbus.launch({ port, httpPort: 0, directory: '', nodeFlags: [] });
  return withServer({ ...launch, env: { ...launch.env, ...settings } }, port, { cpu: undefined }, () => use(port));
}

/** Publishes at one node; subscribes at the other, or the same. */
async function measure(publishAt: number, subscribeAt: number): Promise<Omit<Result, 'wideFanOut'>> {
  const acked = await measureAcked(publishAt);
  return { acked, ...(await measureFanOut(publishAt, subscribeAt, SUBSCRIBERS)) };
}

/** Acks per second of several publishers without subscribers, each with a window of unacked publishes. */
async function measureAcked(port: number): Promise<number> {
  const text = ENVELOPE.replace('"type":"event"', '"type":"event","ack":true').replace('"load"', '"acked"');
  let acks = 0;
  let done = false;
  const lost = (reason: string): void => {
    if (!done) throw new Error(reason);
  };
  for (let n = 0; n < PUBLISHERS; n += 1) {
    const publisher = await Connection.open({ port, dialect: arqonbus.dialect, lost });
    const template = new MessageTemplate(text, OPCODE_TEXT);
    let sent = 0;
    const send = (count: number): void => {
      publisher.write(template.frames(sent + 1, count, clock()));
      sent += count;
    };
    const arrived = (from: number, to: number): void => {
      acks += to - from;
      if (!done) send(to - from);
    };
    const inspect = (_ordinal: number, bytes: Buffer, start: number, end: number): void => {
      const frame = bytes.toString('latin1', start, end);
      if (!done && !frame.includes('"duplicate":false')) throw new Error(`not an ack of something new: ${frame}`);
    };
    publisher.count({ every: INSPECT_EVERY, inspect, arrived, aside: lost });
    send(WINDOW);
  }
  await pause(WARMUP_MS);
  const [before, began] = [acks, performance.now()];
  await pause(seconds * 1000);
  const rate = ((acks - before) * 1000) / (performance.now() - began);
  done = true;
  return rate;
}

/** Deliveries per second of one publisher to many subscribers, each of which must receive everything in order. */
async function measureFanOut(
  publishAt: number,
  subscribeAt: number,
  count: number,
): Promise<Pick<Result, 'fanOut' | 'p50Ms' | 'p99Ms'>> {
  // The servers are stopped with open connections, which reports an error.
  let over = false;
  const lost = (reason: string): void => {
    if (!over) throw new Error(reason);
  };
  const { dialect } = arqonbus;
  const tally = new Tally(count, INSPECT_EVERY, lost);
  const at = { port: subscribeAt, dialect, lost };
  const subscribers = await openConnections(count, at, () => dialect.subscribe(CHANNEL));
  const publisher = await Connection.open({ port: publishAt, dialect, lost });
  for (const subscriber of subscribers) subscriber.count(tally.subscriber());
  const refused = (_ordinal: number, bytes: Buffer, start: number, end: number): void =>
    lost(bytes.toString('latin1', start, end));
  publisher.count({ every: 1, inspect: refused, arrived: () => {}, aside: lost });
  const publishing = publishWindow(publisher, new MessageTemplate(ENVELOPE, OPCODE_TEXT), tally, FANOUT_WINDOW);
  await pause(WARMUP_MS);
  tally.restart();
  const began = performance.now();
  await pause(seconds * 1000);
  const fanOut = (tally.deliveries * 1000) / (performance.now() - began);
  const { latency } = tally;
  publishing.stop();
  over = true;
  return { fanOut, p50Ms: latency.percentile(50) / 1000, p99Ms: latency.percentile(99) / 1000 };
}

function tell(): string {
  const middle = (one: Case, figure: keyof Result): number =>
    median((results.get(one) ?? []).map((result) => result[figure]));
  const memory = chosen.find(({ name }) => name === 'memory');
  const ratio = (one: Case, figure: keyof Result): string =>
    memory === undefined ? '' : `${Math.round((100 * middle(one, figure)) / middle(memory, figure))} %`;
  const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
  const rows = chosen.map((one) => [
    one.title,
    whole(middle(one, 'acked')),
    ratio(one, 'acked'),
    whole(middle(one, 'fanOut')),
    ratio(one, 'fanOut'),
    whole(middle(one, 'wideFanOut')),
    ratio(one, 'wideFanOut'),
    `${middle(one, 'p50Ms').toFixed(1)} ms`,
    `${middle(one, 'p99Ms').toFixed(1)} ms`,
  ]);
  const head = [
    ...['engine', 'acked/s', 'of memory', '1 → 100, deliveries/s', 'of memory'],
    ...['1 → 1,000, deliveries/s', 'of memory', 'p50 (1 → 100)', 'p99'],
  ];
  const day = new Date().toISOString().slice(0, 10);
  return [
    table(head, rows),
    `Acked: ${PUBLISHERS} publishers, ${WINDOW} publications each without an ack, nobody subscribed. Fan-out: a closed ` +
      `window of ${FANOUT_WINDOW}; of two nodes the publisher is at one and all subscribers are at the other; workers share the connections. SQLite ` +
      'syncs before it acks; Redis has an append-only file that is synced before every answer, PostgreSQL syncs every ' +
      'commit, and both run on the same machine without a core of their own.',
    `Measured ${day}, median of ${rounds} × ${seconds} s, ${describeMachine({ server: undefined, generator: undefined })}.`,
  ].join('\n\n');
}
