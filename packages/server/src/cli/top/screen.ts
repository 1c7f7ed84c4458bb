import { type Part, paint, StyledText, text } from '../terminal/styled-text.ts';
import { duration } from '../terminal/time.ts';
import type { Snapshot } from './sample.ts';
import type { TelemetryEvent } from './telemetry.ts';

/** A snapshot as lines of text. */
export function figures(snapshot: Snapshot): StyledText[] {
  const { version, node, uptime_seconds, storage, latency_ms: latency, casil } = snapshot;
  const line = (name: string, part: Part): StyledText => text`${paint('dim', name.padEnd(10))}  ${part}`;
  const decisions = Object.entries(casil).map(([decision, count]) => text`${decision} ${number(count)}`);
  const storageState = storage.healthy ? paint('green', 'healthy') : paint('red', 'AWAY');
  return [
    text`${paint('bold', text`ArqonBus ${version}`)}  ${node}  up ${duration(uptime_seconds)}`,
    text``,
    line('clients', number(snapshot.clients)),
    line('channels', text`${number(snapshot.channels)} in ${number(snapshot.rooms)} rooms`),
    line('messages', text`${number(snapshot.messages_per_second)}/s  (${number(snapshot.messages_total)} in all)`),
    line('delivered', text`${number(snapshot.deliveries_per_second)}/s`),
    line('latency', latency === null ? '-' : `p50 ${latency.p50} ms  p99 ${latency.p99} ms`),
    line('storage', text`${storage.backend}, ${storageState}`),
    line('casil', decisions.length === 0 ? '-' : StyledText.join(decisions, '  ')),
    text``,
    paint('bold', 'CHANNELS BY MEMBERS'),
    ...(snapshot.busiest_channels.length === 0 ? [paint('dim', 'no channel has a member')] : []),
    ...snapshot.busiest_channels.map(({ channel, members }) => text`${number(members, 6)}  ${channel}`),
  ];
}

/** A formatted number in at least `width` columns; other values from a server are shown unchanged. */
function number(value: number, width = 0): StyledText {
  const shown = StyledText.from(typeof value === 'number' ? value.toLocaleString('en') : value);
  return text`${' '.repeat(Math.max(0, width - shown.width))}${shown}`;
}

/** The screen: statistics, and as many of the latest events as fit; no line is wider than the terminal. */
export function screen(
  snapshot: Snapshot,
  events: readonly TelemetryEvent[],
  problem: string,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): StyledText[] {
  const above = [...figures(snapshot), text``, paint('bold', 'EVENTS')].slice(0, rows - 1);
  const room = Math.max(0, rows - above.length - 1);
  const tail = problem === '' ? events.slice(-room).map(eventLine) : [paint('yellow', text`no telemetry: ${problem}`)];
  const all = [...above, ...tail.slice(0, room), paint('dim', 'press q or Ctrl-C to end')];
  return all.map((line) => line.cut(columns));
}

function eventLine({ timestamp, eventType, severity, payload }: TelemetryEvent): StyledText {
  const line = text`${timestamp.slice(11, 19)}  ${eventType.padEnd(20)}  ${StyledText.json(payload)}`;
  return severity === 'error' ? line.paint('red') : severity === 'warning' ? line.paint('yellow') : line;
}
