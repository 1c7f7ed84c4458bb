import type { StyledText } from './styled-text.ts';

/**
 * This is the only file of the CLI that writes to standard output and standard error, and it writes only escaped text
 * and these sequences: no message, file or server can control the terminal.
 */
const CONTROLS = {
  /** The alternate screen. */
  enterScreen: '\u001b[?1049h\u001b[?25l',
  leaveScreen: '\u001b[?25h\u001b[?1049l',
  home: '\u001b[H',
  clearToLineEnd: '\u001b[K',
  clearBelow: '\u001b[J',
  clearLine: '\r\u001b[2K',
} as const;

type Control = keyof typeof CONTROLS;

/** Text, or a cursor control. */
export type Output = StyledText | Control;

/** Whether a stream supports colours: a terminal, without `NO_COLOR` (https://no-color.org). */
export function hasColours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}

/** Columns of a terminal stream; Infinity if it is not a terminal or the width is unknown. */
export function columnsOf(stream: NodeJS.WriteStream): number {
  if (stream.isTTY !== true) return Number.POSITIVE_INFINITY;
  return stream.columns || Number(process.env.COLUMNS) || Number.POSITIVE_INFINITY;
}

/** Whether standard error shows a status line from {@link drawStatus}. */
let isStatusDrawn = false;

/** Replaces the status line on standard error; does nothing if that is not a terminal. */
export function drawStatus(line: StyledText): void {
  if (process.stderr.isTTY !== true) return;
  write(process.stderr, 'clearLine', line);
  isStatusDrawn = true;
}

/** Removes the status line. */
export function clearStatus(): void {
  if (!isStatusDrawn) return;
  isStatusDrawn = false;
  write(process.stderr, 'clearLine');
}

/** Writes after removing the status line; false if the stream's buffer is full. */
export function write(stream: NodeJS.WriteStream, ...outputs: readonly Output[]): boolean {
  if (stream.isTTY === true) clearStatus();
  const colours = hasColours(stream);
  const texts = outputs.map((output) => (typeof output === 'string' ? CONTROLS[output] : output.render(colours)));
  return stream.write(texts.join(''));
}
