import type { StyledText } from './styled-text.ts';

/**
 * The only file of the command line that writes to standard output and standard error, and it writes nothing but
 * escaped text and the sequences below: whatever a message, a file or a server holds, it cannot drive the terminal.
 */
const CONTROLS = {
  /** The screen of full-screen programs, and back. */
  enterScreen: '\u001b[?1049h\u001b[?25l',
  leaveScreen: '\u001b[?25h\u001b[?1049l',
  home: '\u001b[H',
  clearToLineEnd: '\u001b[K',
  clearBelow: '\u001b[J',
  restartLine: '\r\u001b[2K',
} as const;

export type Control = keyof typeof CONTROLS;

/** What is written at a time: text, and how the cursor moves before it. */
export type Output = StyledText | Control;

/** Whether a stream takes colours: a terminal, without `NO_COLOR` (https://no-color.org). */
export function hasColours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}

/** Columns of a stream that is a terminal; Infinity where it is none, or does not tell. */
export function columnsOf(stream: NodeJS.WriteStream): number {
  if (stream.isTTY !== true) return Number.POSITIVE_INFINITY;
  return stream.columns || Number(process.env.COLUMNS) || Number.POSITIVE_INFINITY;
}

/** Writes; false when the stream's buffer is full. */
export function write(stream: NodeJS.WriteStream, ...outputs: readonly Output[]): boolean {
  const colours = hasColours(stream);
  const texts = outputs.map((output) => (typeof output === 'string' ? CONTROLS[output] : output.render(colours)));
  return stream.write(texts.join(''));
}
