import type { ServerStatus } from '@arqonbus/protocol';
import { getJson, getText } from '../remote/http.ts';
import type { HttpOptions } from '../remote/options.ts';
import { type Buckets, bucketsOf, type Metric, parseMetrics, quantile, readValue } from './metrics-text.ts';

/** The state of a bus at one moment. */
export interface Sample {
  readonly at: number;
  readonly status: ServerStatus & { readonly endpoints: { readonly telemetry: string | null } };
  readonly received: number;
  readonly sent: number;
  readonly delivery: Buckets;
  /** Inspections by decision since the start of the bus, without those of this program's own requests. */
  readonly casil: Readonly<Record<string, number>>;
  /** Inspections of this program's requests so far. */
  readonly ownInspections: number;
}

/** A view of a bus: current values, and rates since the previous sample. */
export interface Snapshot {
  readonly time: string;
  readonly version: string;
  readonly node: string;
  readonly uptime_seconds: number;
  readonly storage: { readonly backend: string; readonly healthy: boolean };
  readonly clients: number;
  readonly rooms: number;
  readonly channels: number;
  readonly messages_total: number;
  readonly messages_per_second: number;
  readonly deliveries_per_second: number;
  /** From accepting an event to delivering it, sampled by the server; null if nothing was sent. */
  readonly latency_ms: { readonly p50: number; readonly p99: number } | null;
  readonly casil: Readonly<Record<string, number>>;
  /** The channels with the most members. */
  readonly busiest_channels: readonly { readonly channel: string; readonly members: number }[];
}

const BUSIEST = 10;

/** Samples the bus at `base`. `before` is the previous sample. */
export async function takeSample(base: string, options: HttpOptions, before?: Sample): Promise<Sample> {
  // Metrics may be unavailable to users who can see the status.
  const scrape = async (): Promise<Metric[]> => parseMetrics(await getText(base, '/metrics', options).catch(() => ''));
  const metrics = await scrape();
  const at = performance.now();
  const status = await getJson<Sample['status']>(base, '/status', options);
  const inspected = allowed(decisionsOf(await scrape())) > allowed(decisionsOf(metrics));
  const ownBefore = before?.ownInspections ?? 0;
  const casil = decisionsOf(metrics);
  if (allowed(casil) > ownBefore) casil[ALLOW] = allowed(casil) - ownBefore;
  else delete casil[ALLOW];
  return {
    at,
    status,
    received: readValue(metrics, 'arqonbus_messages_received_total'),
    sent: readValue(metrics, 'arqonbus_messages_sent_total'),
    delivery: bucketsOf(metrics, 'arqonbus_delivery_duration_seconds'),
    casil,
    ownInspections: ownBefore + (inspected ? 1 : 0),
  };
}

/** The policy's decision about a status request, which contains nothing sensitive. */
const ALLOW = 'ALLOW';

function allowed(decisions: Readonly<Record<string, number>>): number {
  return decisions[ALLOW] ?? 0;
}

function decisionsOf(metrics: readonly Metric[]): Record<string, number> {
  const decisions: Record<string, number> = {};
  for (const { name, labels, value } of metrics) {
    if (name !== 'arqonbus_casil_decisions_total') continue;
    const decision = labels.decision ?? 'unknown';
    decisions[decision] = (decisions[decision] ?? 0) + value;
  }
  return decisions;
}

/** Combines two samples. */
export function compare(now: Sample, before: Sample): Snapshot {
  const { server, connections, rooms, channels, messages, storage, channels_detail: detail = [] } = now.status;
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const p50 = quantile(now.delivery, before.delivery, 0.5);
  const p99 = quantile(now.delivery, before.delivery, 0.99);
  const busiest = detail.filter(({ members }) => members > 0).sort((a, b) => b.members - a.members);
  return {
    time: new Date().toISOString(),
    version: server.version,
    node: server.node,
    uptime_seconds: server.uptime_seconds,
    storage,
    clients: connections.active,
    rooms: rooms.active,
    channels: channels.active,
    messages_total: messages.total,
    messages_per_second: rate(now.received - before.received, seconds),
    deliveries_per_second: rate(now.sent - before.sent, seconds),
    latency_ms: p50 === undefined || p99 === undefined ? null : { p50: millis(p50), p99: millis(p99) },
    casil: now.casil,
    busiest_channels: busiest
      .slice(0, BUSIEST)
      .map(({ room, channel, members }) => ({ channel: `${room}:${channel}`, members })),
  };
}

/** The counters restart from 0 if the server was restarted between the samples. */
function rate(count: number, seconds: number): number {
  return Math.round((Math.max(0, count) / seconds) * 10) / 10;
}

function millis(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e3;
}
