import type { Paint } from '../terminal/colours.ts';
import { duration } from '../terminal/duration.ts';
import { visible } from '../terminal/output.ts';
import type { Snapshot } from './sample.ts';
import type { TelemetryEvent } from './telemetry.ts';

/** A snapshot as lines of text. */
export function figures(snapshot: Snapshot, paint: Paint): string[] {
  const { version, node, uptime_seconds, storage, latency_ms: latency, casil } = snapshot;
  const number = (value: number): string => value.toLocaleString('en');
  const line = (name: string, text: string): string => `${paint('dim', name.padEnd(10))}  ${text}`;
  const decisions = Object.entries(casil).map(([decision, count]) => `${decision} ${number(count)}`);
  const storageState = storage.healthy ? paint('green', 'healthy') : paint('red', 'AWAY');
  return [
    `${paint('bold', `ArqonBus ${version}`)}  ${node}  up ${duration(uptime_seconds)}`,
    '',
    line('clients', number(snapshot.clients)),
    line('channels', `${number(snapshot.channels)} in ${number(snapshot.rooms)} rooms`),
    line('messages', `${number(snapshot.messages_per_second)}/s  (${number(snapshot.messages_total)} in all)`),
    line('delivered', `${number(snapshot.deliveries_per_second)}/s`),
    line('latency', latency === null ? '-' : `p50 ${latency.p50} ms  p99 ${latency.p99} ms`),
    line('storage', `${storage.backend}, ${storageState}`),
    line('casil', decisions.length === 0 ? '-' : decisions.join('  ')),
    '',
    paint('bold', 'CHANNELS BY MEMBERS'),
    ...(snapshot.busiest_channels.length === 0 ? [paint('dim', 'none has a member')] : []),
    ...snapshot.busiest_channels.map(({ channel, members }) => `${number(members).padStart(6)}  ${channel}`),
  ];
}

/** The screen: figures, and as many of the last events as there is room for. */
export function screen(
  snapshot: Snapshot,
  events: readonly TelemetryEvent[],
  problem: string,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  paint: Paint,
): string {
  const above = [...figures(snapshot, paint), '', paint('bold', 'EVENTS')].slice(0, rows - 1);
  const room = rows - above.length - 1;
  const tail =
    problem === '' ? lastEvents(events, room, columns, paint) : [paint('yellow', `no telemetry: ${problem}`)];
  return [...above, ...tail.slice(0, Math.max(0, room)), paint('dim', 'q or Ctrl-C ends it')].join('\n');
}

function lastEvents(events: readonly TelemetryEvent[], count: number, columns: number, paint: Paint): string[] {
  if (count <= 0) return [];
  return events.slice(-count).map(({ timestamp, eventType, severity, payload }) => {
    const text = `${timestamp.slice(11, 19)}  ${eventType.padEnd(20)}  ${visible(JSON.stringify(payload))}`;
    const cut = text.length > columns ? `${text.slice(0, Math.max(0, columns - 1))}…` : text;
    return severity === 'error' ? paint('red', cut) : severity === 'warning' ? paint('yellow', cut) : cut;
  });
}
