import type { Envelope } from '@arqonbus/protocol';
import type { Paint, Style } from './colours.ts';
import { visible } from './output.ts';

const STYLES: Readonly<Partial<Record<Envelope['type'], Style>>> = {
  private: 'magenta',
  system: 'dim',
  telemetry: 'dim',
  error: 'red',
};

/** An envelope as a person reads it: time, place, sequence, sender, content, on one line. */
export function envelopeLine(envelope: Envelope, paint: Paint): string {
  const { type, room, channel, from, timestamp, metadata } = envelope;
  const place = room === undefined ? type : `${room}:${channel ?? '*'}${type === 'event' ? '' : ` ${type}`}`;
  const sequence = metadata?.sequence === undefined ? '' : ` ${paint('dim', `#${metadata.sequence}`)}`;
  return [
    paint('dim', clock(timestamp)),
    `${paint(STYLES[type] ?? 'cyan', visible(place))}${sequence}`,
    ...(from === 'arqonbus' ? [] : [paint('green', visible(from ?? '?'))]),
    visible(content(envelope)),
  ].join('  ');
}

function content({ status, error, error_code, command, payload }: Envelope): string {
  const body = JSON.stringify(payload ?? {});
  if (error !== undefined) return `${error} (${error_code ?? status ?? 'error'})`;
  if (payload?.event === 'welcome') return `connected as ${String(payload.client_id)} (${String(payload.role)})`;
  return command === undefined ? body : `${command} ${status ?? ''} ${body}`;
}

/** The local time of day, to the millisecond. */
function clock(timestamp: string): string {
  const at = new Date(timestamp);
  if (Number.isNaN(at.getTime())) return '--:--:--.---';
  const two = (value: number): string => String(value).padStart(2, '0');
  const millis = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${millis}`;
}
