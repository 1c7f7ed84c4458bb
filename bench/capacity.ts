import type { Figures } from './figures.ts';
import { table } from './report.ts';
import { mediansOf, type Run } from './tables.ts';

const CONNECTIONS = 1_000_000;
/** What a process is planned for: well under what it can hold, so that the others can take over its clients. */
const PER_PROCESS = 25_000;
/** Of a process's core what traffic may take on average; the rest is for peaks, and for those who come back. */
const BUSY = 0.5;
/** An event for everybody each so many seconds: people, not machines, read what is delivered. */
const EVERY_SECONDS = 10;

/** The runs of which capacity is made, by the name of their scenario. */
const NAMES = {
  connections: 'memory-connections',
  channels: 'memory-channels',
  chat: 'chat',
  sparse: '1to1000-paced',
  resume: 'resume',
} as const;

/**
 * What a million connections need, by the measurements of one process. Undefined unless all of them were made in this run
 * and succeeded.
 */
export function capacityTable(runs: readonly Run[]): string | undefined {
  const of = (scenario: string): Figures | undefined =>
    mediansOf(runs.filter((run) => run.peer.name === 'arqonbus' && run.scenario.name === scenario));
  const kibPerConnection = of(NAMES.connections)?.kibPerConnection;
  const accepted = of(NAMES.connections)?.connectionsPerSecond;
  const kibPerChannel = of(NAMES.channels)?.kibPerChannel;
  const chat = of(NAMES.chat)?.deliveriesPerSecond;
  const sparse = of(NAMES.sparse)?.serverCpuUsPerDelivery;
  const resumed = of(NAMES.resume)?.resumedPerSecond;
  if (kibPerConnection === undefined || accepted === undefined || kibPerChannel === undefined) return undefined;
  if (chat === undefined || sparse === undefined || resumed === undefined) return undefined;

  const processes = CONNECTIONS / PER_PROCESS;
  const deliveries = CONNECTIONS / EVERY_SECONDS;
  const rows = [
    ['processes, each with a core of its own', `${whole(PER_PROCESS)} connections planned for each`, whole(processes)],
    ['memory of connections', `${one(kibPerConnection)} KiB each (\`${NAMES.connections}\`)`, gib(kibPerConnection)],
    [
      'memory of as many channels at rest',
      `${one(kibPerChannel)} KiB each (\`${NAMES.channels}\`)`,
      gib(kibPerChannel),
    ],
    [
      `cores for an event a connection each ${EVERY_SECONDS} s, sent one by one`,
      `${one(sparse)} µs of CPU a delivery (\`${NAMES.sparse}\`), a core ${BUSY * 100} % busy`,
      one((deliveries * sparse) / 1e6 / BUSY),
    ],
    [
      'deliveries a second at most, in small channels',
      `${whole(chat)} a process (\`${NAMES.chat}\`)`,
      whole(chat * processes),
    ],
    [
      'seconds until all are back, with nothing to resume',
      `${whole(accepted)} a second and process`,
      one(PER_PROCESS / accepted),
    ],
    [
      'seconds until all are back and have 100 events each',
      `${whole(resumed)} a second and process (\`${NAMES.resume}\`)`,
      one(PER_PROCESS / resumed),
    ],
  ];
  return table(['for 1,000,000 connections', 'measured', 'needed'], rows);
}

function gib(kib: number): string {
  return `${one((kib * CONNECTIONS) / 2 ** 20)} GiB`;
}

function whole(value: number): string {
  return Math.round(Number(value.toPrecision(3))).toLocaleString('en-US');
}

function one(value: number): string {
  return value >= 100 ? whole(value) : value.toPrecision(2);
}
