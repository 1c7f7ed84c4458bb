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
  clearLine: '\r\u001b[2K',
} as const;

type Control = keyof typeof CONTROLS;

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

/** Whether a line stands on standard error that {@link drawStatus} will draw over. */
let isStatusDrawn = false;

/** Draws a line on standard error in place of the one before; draws nothing where that is not a terminal. */
export function drawStatus(line: StyledText): void {
  if (process.stderr.isTTY !== true) return;
  write(process.stderr, 'clearLine', line);
  isStatusDrawn = true;
}

/** Takes that line away. */
export function clearStatus(): void {
  if (!isStatusDrawn) return;
  isStatusDrawn = false;
  write(process.stderr, 'clearLine');
}

/** Writes, in place of a status line; false when the stream's buffer is full. */
export function write(stream: NodeJS.WriteStream, ...outputs: readonly Output[]): boolean {
  if (stream.isTTY === true) clearStatus();
  const colours = hasColours(stream);
  const texts = outputs.map((output) => (typeof output === 'string' ? CONTROLS[output] : output.render(colours)));
  return stream.write(texts.join(''));
}
