import type { Envelope, SenderRecord } from '@arqonbus/protocol';
import { type Part, paint, type Style, StyledText, text } from './styled-text.ts';
import { timeOfDay } from './time.ts';

const STYLES: ReadonlyMap<string, Style> = new Map([
  ['private', 'magenta'],
  ['system', 'dim'],
  ['telemetry', 'dim'],
  ['error', 'red'],
]);

/** An envelope as one readable line: time, place, sequence, sender, content. */
export function envelopeLine(envelope: Envelope): StyledText {
  const { type, room, channel, from, timestamp, metadata } = envelope;
  const place =
    room === undefined ? text`${type}` : text`${room}:${channel ?? '*'}${type === 'event' ? '' : text` ${type}`}`;
  const sequence = metadata?.sequence === undefined ? '' : text` ${paint('dim', text`#${metadata.sequence}`)}`;
  return StyledText.join(
    [
      paint('dim', timeOfDay(timestamp)),
      text`${place.paint(STYLES.get(type) ?? 'cyan')}${sequence}`,
      ...(from === 'arqonbus' ? [] : [paint('green', text`${from ?? '?'}${known(metadata?.sender)}`)]),
      content(envelope),
    ],
    '  ',
  );
}

/** The verified identity of the sender: the subject, and the possibly self-chosen name in quotes. */
function known(sender: SenderRecord | undefined): Part {
  const { subject, name } = Object(sender) as Partial<SenderRecord>;
  const parts = [...(subject === undefined ? [] : [subject]), ...(name === undefined ? [] : [text`"${name}"`])];
  return parts.length === 0 ? '' : text` (${StyledText.join(parts, ' ')})`;
}

function content({ status, error, error_code, command, payload }: Envelope): Part {
  if (error !== undefined) return text`${error} (${error_code ?? status ?? 'error'})`;
  const { event, client_id, role } = payload ?? {};
  if (event === 'welcome') return text`connected as ${StyledText.from(client_id)} (${StyledText.from(role)})`;
  const body = StyledText.json(payload ?? {});
  return command === undefined ? body : text`${command} ${status ?? ''} ${body}`;
}
