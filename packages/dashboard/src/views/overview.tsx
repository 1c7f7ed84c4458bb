import type { ServerStatus } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { Chart, type Line } from '../components/chart.tsx';
import { useLive } from '../components/live.ts';
import { Empty, Note, type Tone } from '../components/parts.tsx';
import { bytes, count, plural, short, span } from '../format/quantity.ts';
import type { Moment } from '../model/samples.ts';
import { ask } from '../session/http.ts';
import { link } from '../session/route.ts';
import { moments } from '../session/sampling.ts';
import { isAtLeast, may } from '../session/session.ts';
import { statusOf } from './status.ts';

interface ChartOf {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  readonly isBinary?: boolean;
}

const perSecond = (value: number): string => `${short(value)}/s`;

const CHARTS: readonly ChartOf[] = [
  {
    title: 'Messages',
    lines: [
      { name: 'in', of: 'received', colour: 1 },
      { name: 'out', of: 'sent', colour: 2 },
    ],
    format: perSecond,
  },
  {
    title: 'Delivery',
    lines: [
      { name: 'p50', of: 'p50', colour: 2 },
      { name: 'p99', of: 'p99', colour: 1 },
    ],
    format: span,
  },
  { title: 'Connections', lines: [{ name: 'open', of: 'connections', colour: 1 }], format: short },
  { title: 'Event-loop lag', lines: [{ name: 'p99', of: 'lag', colour: 3 }], format: span },
  {
    title: 'Memory',
    lines: [
      { name: 'heap', of: 'memory', colour: 1 },
      { name: 'bound', of: 'memoryLimit', colour: 4 },
    ],
    format: bytes,
    isBinary: true,
  },
  {
    title: 'Held back',
    lines: [
      { name: 'refused', of: 'refused', colour: 3 },
      { name: 'slow', of: 'slow', colour: 4 },
      { name: 'errors', of: 'errors', colour: 1 },
    ],
    format: perSecond,
  },
];

interface Tile {
  readonly name: string;
  readonly value: string;
  readonly below?: string;
  readonly tone?: Tone;
}

/** The state of the bus, now and over the last quarter of an hour. */
export function OverviewView(): VNode {
  const status = useLive<ServerStatus>(statusOf, 3_000);
  const clients = useLive(
    () => (isAtLeast('user') ? ask<{ clients: { node: string }[] }>('v1/clients') : Promise.resolve({ clients: [] })),
    5_000,
  );
  const { value: past } = moments;
  const now = past.at(-1);
  const nodes = new Set((clients.value?.clients ?? []).map(({ node }) => node));
  if (status.value !== undefined) nodes.add(status.value.server.node);
  return (
    <div class="view">
      <div class="view-head">
        <h1>Overview</h1>
      </div>
      {status.problem !== '' && <Note tone="bad">{status.problem}</Note>}
      <dl class="tiles">
        {tilesOf(status.value, now, [...nodes].sort()).map(({ name, value, below, tone }) => (
          <div class="tile" key={name} data-tone={tone}>
            <dt>{name}</dt>
            <dd>
              {value}
              <small>{below ?? '\u00a0'}</small>
            </dd>
          </div>
        ))}
      </dl>
      <div class="charts">
        {CHARTS.map((chart) => (
          <Chart key={chart.title} {...chart} moments={past} />
        ))}
      </div>
      {now?.connections !== undefined && now.connections !== null && now.connections <= 1 && (
        <Empty title="Nobody but this page is connected.">
          {may('list_rooms') && (
            <>
              Try <code>npx arqon pub science:explore '{'{"text":"hello"}'}'</code>, or{' '}
              <a href={link('rooms', 'science', 'explore')}>send something from here</a>.
            </>
          )}
        </Empty>
      )}
    </div>
  );
}

function tilesOf(status: ServerStatus | undefined, now: Moment | undefined, nodes: readonly string[]): Tile[] {
  const rate = (value: number | null | undefined): string => (typeof value === 'number' ? perSecond(value) : '–');
  const { memory = null, memoryLimit = null, p99 = null, refused = null, slow = null } = now ?? {};
  const share = memory !== null && memoryLimit !== null && memoryLimit > 0 ? memory / memoryLimit : null;
  const held = (refused ?? 0) + (slow ?? 0);
  const tiles: Tile[] = [
    { name: 'In', value: rate(now?.received), below: 'messages from clients' },
    { name: 'Out', value: rate(now?.sent), below: 'messages to clients' },
    {
      name: 'Connections',
      value: status === undefined ? '–' : count(status.connections.active),
      below:
        status === undefined
          ? ''
          : `${plural(status.channels.active, 'channel')}, ${plural(status.rooms.active, 'room')}`,
    },
    {
      name: 'Delivery p99',
      value: p99 === null ? '–' : span(p99),
      below: p99 === null ? 'no traffic just now' : 'until handed on',
    },
    {
      name: 'Memory',
      value: memory === null ? '–' : bytes(memory),
      below: share === null ? '' : `${Math.round(share * 100)} % of its bound`,
      tone: share === null || share < 0.8 ? '' : share < 0.95 ? 'warn' : 'bad',
    },
    {
      name: 'Held back',
      value: rate(now === undefined ? null : held),
      below: 'refused or too slow',
      tone: held > 0 ? 'warn' : '',
    },
  ];
  if (status === undefined) return tiles;
  const { healthy, backend } = status.storage;
  return [
    ...tiles,
    {
      name: 'Storage',
      value: healthy ? 'Healthy' : 'Degraded',
      below: healthy ? backend : `${backend} is away; look at the log`,
      tone: healthy ? 'good' : 'bad',
    },
    { name: 'Uptime', value: span(status.server.uptime_seconds), below: `version ${status.server.version}` },
    {
      name: nodes.length === 1 ? 'Node' : 'Nodes',
      value: nodes.length === 1 ? 'One' : String(nodes.length),
      below: nodes.join(', '),
    },
  ];
}
