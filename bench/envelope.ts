/**
 * The message of every scenario: a JSON envelope of {@link ENVELOPE_BYTES} bytes, as an SDK sends it (with an id).
 *
 * Two fields change from message to message and keep their width, so that a message is made by overwriting digits of a
 * prebuilt frame: the id, and the mark `~NUMBER~MICROSECONDS~` by which a receiver checks order and reads the latency.
 */
export const ENVELOPE_BYTES = 317;
export const ROOM = 'bench';
export const CHANNEL = 'load';

export const NUMBER_DIGITS = 10;
export const TIME_DIGITS = 16;
/** Delimits the mark, and stands nowhere else in what a server may add to an envelope. */
export const TILDE = 0x7e;
export const ID_PREFIX = 'arq_bench_';

const NUMBER = '0'.repeat(NUMBER_DIGITS);
const TIME = '0'.repeat(TIME_DIGITS);

function envelopeWithNote(note: string): string {
  return JSON.stringify({
    version: '1.0',
    id: `${ID_PREFIX}${NUMBER}`,
    type: 'event',
    room: ROOM,
    channel: CHANNEL,
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

/** The envelope text with zeros for the changing digits. ASCII only: its length in characters is its length in bytes. */
export const ENVELOPE: string = envelopeWithNote('x'.repeat(ENVELOPE_BYTES - envelopeWithNote('').length));
