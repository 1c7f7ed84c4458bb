/**
 * The message of every scenario: a JSON envelope of {@link ENVELOPE_BYTES} bytes, as sent by an SDK (with an id).
 * Scenarios with many channels use one of the same length for each.
 *
 * Two fields differ between messages but have a fixed width, so that a message is created by overwriting digits of a
 * prebuilt frame: the id, and the mark `~NUMBER~MICROSECONDS~`, from which a receiver checks the order and computes the
 * latency.
 */
export const ENVELOPE_BYTES = 317;
export const ROOM = 'bench';
export const CHANNEL = 'load';

export const NUMBER_DIGITS = 10;
export const TIME_DIGITS = 16;
/** Delimits the mark, and occurs nowhere else in what a server may add to an envelope. */
export const TILDE = 0x7e;
/** The text before an id, and the length of the id before its number. */
export const ID_LEAD = '"id":"';
export const ID_PREFIX_BYTES = 10;

const NUMBER = '0'.repeat(NUMBER_DIGITS);
const TIME = '0'.repeat(TIME_DIGITS);

function envelopeWithNote(channel: string, note: string): string {
  // Ids must differ between channels.
  const name = channel === CHANNEL ? 'bench' : channel.slice(-5);
  return JSON.stringify({
    version: '1.0',
    id: `arq_${name}_${NUMBER}`,
    type: 'event',
    room: ROOM,
    channel,
    payload: {
      mark: `~${NUMBER}~${TIME}~`,
      kind: 'reading',
      sensor: { site: 'north', floor: 3, name: 'temperature' },
      value: 21.53,
      valid: true,
      note,
    },
  });
}

/**
 * The envelope text with zeros for the variable digits. ASCII only, so its length in characters equals its length in
 * bytes.
 */
export function envelopeFor(channel: string): string {
  return envelopeWithNote(channel, 'x'.repeat(ENVELOPE_BYTES - envelopeWithNote(channel, '').length));
}

export const ENVELOPE: string = envelopeFor(CHANNEL);

/** The name of one of many channels, with a fixed length. */
export function channelNumbered(number: number): string {
  return `c${String(number).padStart(6, '0')}`;
}
