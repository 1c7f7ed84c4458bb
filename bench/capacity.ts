import type { Figures } from './figures.ts';
import { table } from './report.ts';
import { mediansOf, type Run } from './tables.ts';

const CONNECTIONS = 1_000_000;
/** Planned connections per process: well below its maximum, so that other processes can take over its clients. */
const PER_PROCESS = 25_000;
/** Average utilization of a process's core; the rest is for peaks and reconnects. */
const BUSY = 0.5;
/** Seconds between events for everybody: the receivers are people, not machines. */
const EVERY_SECONDS = 10;

/** The scenarios that capacity is computed from. */
const NAMES = {
  connections: 'memory-connections',
  channels: 'memory-channels',
  chat: 'chat',
  sparse: '1to1000-paced',
  resume: 'resume',
} as const;

/**
 * The resources for a million connections, from measurements of one process. Undefined unless all scenarios were run
 * successfully.
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
