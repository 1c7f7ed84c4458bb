import { type Figures, medians } from './figures.ts';
import type { Peer } from './peers/peer.ts';
import { isDisturbed } from './quiet.ts';
import { table } from './report.ts';
import type { Scenario } from './scenarios.ts';

/** One run of one peer in one scenario: its figures, or why it failed. */
export interface Run {
  readonly scenario: Scenario;
  readonly peer: Peer;
  readonly round: number;
  readonly figures?: Figures;
  readonly fault?: string;
  /** Why it does not take part. */
  readonly lacks?: string;
}

/** The peer whose ratio to the others the tables show, if it took part. */
const OURS = 'arqonbus';

interface Column {
  readonly title: string;
  cell(figures: Figures, ours: Figures | undefined): string | undefined;
}

const DELIVERIES: Column = { title: 'deliveries/s', cell: (f) => rounded(f.deliveriesPerSecond) };
const CPU: Column = { title: 'CPU µs per delivery', cell: (f) => digits(f.serverCpuUsPerDelivery) };
const LATENCY: readonly Column[] = [
  { title: 'p50 ms', cell: (f) => milliseconds(f.p50Us) },
  { title: 'p99 ms', cell: (f) => milliseconds(f.p99Us) },
  { title: 'max ms', cell: (f) => milliseconds(f.maxUs) },
];

const CORE: Column = { title: 'server core', cell: (f) => percent(f.serverCpuShare) };
const MEMORY: Column = { title: 'server MiB', cell: (f) => rounded(f.serverMib) };

const COLUMNS: Readonly<Record<Scenario['kind'], readonly Column[]>> = {
  closed: [
    DELIVERIES,
    { title: 'ArqonBus delivers', cell: (f, ours) => times(ours?.deliveriesPerSecond, f.deliveriesPerSecond) },
    ...LATENCY,
    CPU,
    { title: 'ArqonBus needs', cell: (f, ours) => times(ours?.serverCpuUsPerDelivery, f.serverCpuUsPerDelivery) },
    CORE,
    { title: 'generator core', cell: (f) => percent(f.generatorCpuShare) },
    MEMORY,
  ],
  sse: [
    DELIVERIES,
    ...LATENCY,
    CPU,
    CORE,
    { title: 'generator core', cell: (f) => percent(f.generatorCpuShare) },
    MEMORY,
  ],
  paced: [...LATENCY, DELIVERIES, CPU, CORE],
  chat: [
    DELIVERIES,
    { title: 'ArqonBus delivers', cell: (f, ours) => times(ours?.deliveriesPerSecond, f.deliveriesPerSecond) },
    ...LATENCY,
    CPU,
    { title: 'ArqonBus needs', cell: (f, ours) => times(ours?.serverCpuUsPerDelivery, f.serverCpuUsPerDelivery) },
    CORE,
    { title: 'generator core', cell: (f) => percent(f.generatorCpuShare) },
    MEMORY,
  ],
  churn: [
    ...LATENCY,
    { title: 'replaced/s', cell: (f) => rounded(f.reconnectsPerSecond) },
    { title: 'back in, p99 ms', cell: (f) => milliseconds(f.reconnectP99Us) },
    CORE,
    MEMORY,
  ],
  resume: [
    { title: 'whole again/s', cell: (f) => rounded(f.resumedPerSecond) },
    { title: 'half of them after, ms', cell: (f) => milliseconds(f.p50Us) },
    { title: 'all after, ms', cell: (f) => milliseconds(f.maxUs) },
    { title: 'events/s', cell: (f) => rounded(f.deliveriesPerSecond) },
    { title: 'CPU µs per event', cell: (f) => digits(f.serverCpuUsPerDelivery) },
    MEMORY,
  ],
  idle: [
    { title: 'KiB per connection', cell: (f) => digits(f.kibPerConnection) },
    { title: 'ArqonBus needs', cell: (f, ours) => times(ours?.kibPerConnection, f.kibPerConnection) },
    { title: 'accepted/s', cell: (f) => rounded(f.connectionsPerSecond) },
    { title: 'CPU µs per connection', cell: (f) => digits(f.serverCpuUsPerConnection) },
  ],
  channels: [
    { title: 'KiB per channel', cell: (f) => digits(f.kibPerChannel) },
    { title: 'ArqonBus needs', cell: (f, ours) => times(ours?.kibPerChannel, f.kibPerChannel) },
    { title: 'channels/s', cell: (f) => rounded(f.channelsPerSecond) },
  ],
  receive: [
    { title: 'received/s', cell: (f) => rounded(f.deliveriesPerSecond) },
    { title: 'generator core', cell: (f) => percent(f.generatorCpuShare) },
  ],
};

/** The heading of a scenario. */
export function titleOf(scenario: Scenario): string {
  switch (scenario.kind) {
    case 'closed':
    case 'sse':
      return `1 → ${thousands(scenario.subscribers)}, window ${scenario.window}`;
    case 'paced':
      return `1 → ${thousands(scenario.subscribers)}, ${thousands(scenario.rate)} message${scenario.rate === 1 ? '' : 's'} a second`;
    case 'chat':
      return `${thousands(scenario.channels)} channels, each 1 → ${thousands(scenario.subscribers)}`;
    case 'churn': {
      const share = Math.round(scenario.perMinute * 100);
      return `${thousands(scenario.connections)} connections, ${share} % of them replaced a minute`;
    }
    case 'resume':
      return `${thousands(scenario.connections)} subscribers come back, ${thousands(scenario.events)} events each`;
    case 'idle':
      return `${thousands(scenario.connections)} connections${scenario.subscribed ? ', subscribed' : ''}`;
    case 'channels':
      return `${thousands(scenario.channels)} channels with one event`;
    case 'receive':
      return `${thousands(scenario.subscribers)} connection${scenario.subscribers === 1 ? '' : 's'}`;
  }
}

/** The table of one scenario: a row per peer, with medians over its rounds, preferably the undisturbed ones. */
export function scenarioTable(scenario: Scenario, runs: readonly Run[]): string {
  const columns = COLUMNS[scenario.kind];
  const own = runs.filter((run) => run.scenario.name === scenario.name);
  const peers = [...new Set(own.map((run) => run.peer))];
  const figuresOf = (name: string): Figures | undefined => mediansOf(own.filter((run) => run.peer.name === name));
  const ours = figuresOf(OURS);
  const rows = peers.map((peer) => {
    const figures = figuresOf(peer.name);
    const title = peerTitle(peer);
    const lacks = own.find((run) => run.peer.name === peer.name)?.lacks;
    const nothing = columns.slice(1).map(() => (lacks === undefined ? '' : '–'));
    if (figures === undefined) return [title, lacks === undefined ? 'failed' : `– (${lacks})`, ...nothing];
    return [title, ...columns.map((column) => column.cell(figures, peer.name === OURS ? undefined : ours) ?? '')];
  });
  return table(['server', ...columns.map((column) => column.title)], rows);
}

/** Medians of runs, preferably of the undisturbed ones; undefined if none measured anything. */
export function mediansOf(runs: readonly Run[]): Figures | undefined {
  const measured = runs.flatMap((run) => run.figures ?? []);
  const undisturbed = measured.filter((figures) => !isDisturbed(figures));
  return measured.length === 0 ? undefined : medians(undisturbed.length > 0 ? undisturbed : measured);
}

/** A peer's name with its version and note. */
function peerTitle({ title, note, version }: Peer): string {
  return `${title}${version === undefined ? '' : ` ${version()}`}${note === undefined ? '' : ` (${note})`}`;
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Three significant digits: more would be noise. */
function rounded(value: number | undefined): string | undefined {
  return value === undefined ? undefined : thousands(Number(value.toPrecision(3)));
}

function digits(value: number | undefined): string | undefined {
  if (value === undefined) return undefined;
  return value >= 100
    ? rounded(value)
    : value >= 10
      ? value.toFixed(0)
      : value >= 1
        ? value.toFixed(1)
        : value.toPrecision(2);
}

function milliseconds(microseconds: number | undefined): string | undefined {
  return microseconds === undefined ? undefined : digits(microseconds / 1000);
}

function percent(share: number | undefined): string | undefined {
  return share === undefined ? undefined : `${Math.round(share * 100)} %`;
}

function times(ours: number | undefined, theirs: number | undefined): string | undefined {
  return ours === undefined || theirs === undefined || theirs === 0 ? undefined : `× ${(ours / theirs).toPrecision(2)}`;
}
