/**
 * A rolling restart from the users' point of view: `npx tsx bench/rolling.ts`, after `npm run build`. Three nodes with
 * one Redis, SDK clients in separate processes, and a publisher whose events are acked; then each node is stopped and
 * restarted, one after the other. Exits with 1 if an event is lost or duplicated, or a client does not reconnect.
 *
 * `--clients N` (5,000), `--drain S` (10) seconds, `--rate N` (50) events per second, `--list` gives the clients the
 * three nodes instead of one load balancer, `--write FILE` puts the table into the benchmarks page.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BusProcess } from '../test/e2e/faults/bus-process.ts';
import { hasRedis, PrivateRedis } from '../test/fixtures/private-redis.ts';
import { describeMachine, describePriority, fileLimit } from './machine.ts';
import { table, writeSection } from './report.ts';
import { Balancer, isReady } from './rolling/balancer.ts';
import { now, type Order, type Report, type Return } from './rolling/orders.ts';
import { Publisher } from './rolling/publisher.ts';

const NODES = ['a', 'b', 'c'] as const;
const CROWDS = 2;
const CHANNELS = 100;
/** Pause between two restarts, so that each is measured separately, in milliseconds. */
const CALM_MS = 3_000;
const CLIENTS = fileURLToPath(new URL('./rolling/clients.ts', import.meta.url));

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '5000' },
    drain: { type: 'string', default: '10' },
    rate: { type: 'string', default: '50' },
    list: { type: 'boolean', default: false },
    write: { type: 'string' },
  },
});
const COUNT = Number(values.clients);
const DRAIN_S = Number(values.drain);
const RATE = Number(values.rate);
if (!Number.isInteger(COUNT) || COUNT < CROWDS) throw new Error(`--clients is a whole number, at least ${CROWDS}.`);
if (!(DRAIN_S >= 0)) throw new Error('--drain is a number of seconds, at least 0.');
if (!(RATE > 0)) throw new Error('--rate is a number above 0.');
if (!hasRedis()) process.exit(1);
// The balancer has two connections for each client.
const needed = 2 * COUNT + 200;
if (needed > fileLimit()) throw new Error(`${COUNT} clients need ${needed} open files, the limit is ${fileLimit()}.`);

/** One node's restart. */
interface Restart {
  readonly node: string;
  readonly beganAt: number;
  endedAt: number;
  stopMs: number;
  startMs: number;
}

/** The results of one run. */
interface Outcome {
  readonly restarts: readonly Restart[];
  readonly reports: readonly Report[];
  readonly acked: number;
  readonly refused: readonly string[];
}

const outcome = await run();
const text = tell(outcome);
console.log(text);
if (values.write !== undefined) writeSection('rolling', text, values.write);
const faults = faultsOf(outcome);
for (const fault of faults) console.error(fault);
process.exit(faults.length === 0 ? 0 : 1);

async function run(): Promise<Outcome> {
  const redis = await PrivateRedis.start();
  const nodes: BusProcess[] = [];
  const crowds: ChildProcess[] = [];
  let balancer: Balancer | undefined;
  try {
    for (const name of NODES) {
      nodes.push(
        await BusProcess.start(name, {
          ARQONBUS_STORAGE_BACKEND: 'redis',
          ARQONBUS_REDIS_URL: redis.url(),
          ARQONBUS_DRAIN_SECONDS: `${DRAIN_S}`,
        }),
      );
    }
    balancer = await Balancer.start(nodes);
    const urls = values.list ? nodes.map(({ url }) => url) : [balancer.url];
    const each = Math.ceil(COUNT / CROWDS);
    for (let first = 0; first < COUNT; first += each) {
      const crowd = fork(CLIENTS, { execArgv: ['--import', 'tsx'] });
      crowds.push(crowd);
      await ask(crowd, { kind: 'open', urls, first, count: Math.min(each, COUNT - first), channels: CHANNELS });
      console.error(`${Math.min(COUNT, first + each)} clients are there`);
    }
    const publisher = await Publisher.start(urls, CHANNELS, RATE);
    const restarts: Restart[] = [];
    for (const node of nodes) {
      await pause(CALM_MS);
      restarts.push(await restart(node));
    }
    await pause(CALM_MS);
    const last = await publisher.stop();
    const reports = await Promise.all(crowds.map((crowd) => ask(crowd, { kind: 'finish', last }) as Promise<Report>));
    return { restarts, reports, acked: publisher.acked, refused: publisher.refused };
  } finally {
    for (const crowd of crowds) crowd.kill();
    balancer?.stop();
    await Promise.all(nodes.map((node) => node.kill()));
    await redis.stop();
  }
}

async function ask(crowd: ChildProcess, order: Order): Promise<unknown> {
  crowd.send(order);
  const [answer] = await Promise.race([
    once(crowd, 'message'),
    once(crowd, 'exit').then(() => {
      throw new Error('A process of clients ended.');
    }),
  ]);
  return answer;
}

async function restart(node: BusProcess): Promise<Restart> {
  const beganAt = now();
  await node.stop();
  const stoppedAt = now();
  await node.start();
  while (!(await isReady(node.http))) await pause(20);
  const endedAt = now();
  const one = { node: node.name, beganAt, endedAt, stopMs: stoppedAt - beganAt, startMs: endedAt - stoppedAt };
  console.error(`${node.name}: stopped in ${seconds(one.stopMs)}, ready again in ${seconds(one.startMs)}`);
  return one;
}

function tell({ restarts, reports, acked }: Outcome): string {
  const returns = reports.flatMap((report) => report.returns);
  const rows = restarts.map((one, index) => {
    const from = one.beganAt;
    const to = restarts[index + 1]?.beganAt ?? Number.POSITIVE_INFINITY;
    return row(
      one.node,
      [one],
      returns.filter(({ lostAt }) => lostAt >= from && lostAt < to),
    );
  });
  rows.push(row('all', restarts, returns));
  const head = [
    ...['restarted node', 'clients moved', 'peak accepts per node and second', 'reconnect p50', 'p99', 'max'],
    ...['time to stop', 'time to ready'],
  ];
  const sum = (of: (report: Report) => number): string => whole(reports.reduce((total, one) => total + of(one), 0));
  const delays = reports.flatMap(({ delays }) => delays).sort(byNumber);
  const way = values.list
    ? 'each with a list of the three addresses in a different order'
    : 'behind a load balancer that polls `/ready` every 500 ms';
  const day = new Date().toISOString().slice(0, 10);
  return [
    table(head, rows),
    `${whole(COUNT)} SDK clients, ${way}; ARQONBUS_DRAIN_SECONDS=${DRAIN_S}. Load: ${whole(acked)} acked events at ` +
      `${RATE} a second, each to ${whole(COUNT / CHANNELS)} subscribers: **${sum(({ lost }) => lost)} lost, ` +
      `${sum(({ doubled }) => doubled)} duplicated**. Delivery latency, including clients that were reconnecting: ` +
      `p50 ${ms(percentile(delays, 50))}, p99 ${ms(percentile(delays, 99))}, max ${ms(percentile(delays, 100))}.`,
    `Measured ${day}. Clients, load balancer, nodes and Redis share one machine: ${describeMachine({ server: undefined, generator: undefined })}${describePriority()}.`,
  ].join('\n\n');
}

function row(name: string, restarts: readonly Restart[], returns: readonly Return[]): string[] {
  const times = returns.map(({ lostAt, openAt }) => openAt - lostAt).sort(byNumber);
  const most = (of: (restart: Restart) => number): string => seconds(Math.max(...restarts.map(of)));
  return [
    ...[name, whole(returns.length), whole(busiestSecond(returns))],
    ...[50, 99, 100].map((share) => ms(percentile(times, share))),
    ...[most(({ stopMs }) => stopMs), most(({ startMs }) => startMs)],
  ];
}

/** The maximum number of clients that one node accepted within any second. */
function busiestSecond(returns: readonly Return[]): number {
  let most = 0;
  for (const node of NODES) {
    const times = returns.flatMap((one) => (one.node === node ? [one.openAt] : [])).sort(byNumber);
    let first = 0;
    for (const [index, time] of times.entries()) {
      while (time - (times[first] as number) >= 1_000) first += 1;
      most = Math.max(most, index - first + 1);
    }
  }
  return most;
}

function faultsOf({ reports, refused }: Outcome): string[] {
  const faults = refused.map((reason) => `A publication was refused: ${reason}`);
  for (const { lost, doubled, away, resets, errors } of reports) {
    console.error(
      `connections that ended or were refused: ${errors.map(([why, count]) => `${why} ${count}`).join(', ')}`,
    );
    if (lost > 0) faults.push(`${lost} events were lost.`);
    if (doubled > 0) faults.push(`${doubled} events came twice.`);
    if (resets > 0) faults.push(`${resets} subscriptions were told that they may have missed something.`);
    if (away > 0) faults.push(`${away} clients are not back.`);
  }
  return faults;
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * share) / 100) - 1)] ?? 0;
}

function byNumber(one: number, other: number): number {
  return one - other;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function ms(value: number): string {
  return `${whole(value)} ms`;
}

function seconds(value: number): string {
  return `${(value / 1_000).toFixed(1)} s`;
}
