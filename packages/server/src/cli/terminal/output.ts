import { lines, type Part, StyledText, text } from './styled-text.ts';
import { write } from './writer.ts';

/**
 * Prints a line to standard output. Returns undefined if there is room for more; otherwise a promise that resolves when
 * there is, or when the output is closed.
 */
export function print(part: Part): Promise<void> | undefined {
  const { stdout } = process;
  if (!stdout.writable || write(stdout, text`${part}\n`)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      stdout.off('drain', done);
      stdout.off('close', done);
      resolve();
    };
    stdout.on('drain', done);
    stdout.on('close', done);
  });
}

/** Prints one JSON document: indented on a terminal, otherwise on one line. */
export async function printDocument(value: unknown): Promise<void> {
  await print(StyledText.json(value, process.stdout.isTTY ? 2 : 0));
}

/** Prints one JSON document on one line. */
export function printJsonLine(value: unknown): Promise<void> | undefined {
  return print(StyledText.json(value));
}

/** Prints the result of a verb: as JSON if requested, else formatted by `show`; prints nothing if that is empty. */
export async function printResult<T>(isJson: boolean | undefined, result: T, show: (result: T) => Part): Promise<void> {
  if (isJson === true) return printDocument(result);
  const shown = StyledText.from(show(result));
  if (!shown.isEmpty) await print(shown);
}

export type Severity = 'info' | 'warn' | 'error' | 'fatal';

let isLog = false;

/** From now on, remarks are JSON log lines, unless standard error is a terminal. */
export function remarkInLog(): void {
  isLog = process.stderr.isTTY !== true;
}

/** Prints a remark to standard error, followed by `details`, one per line. The severity is shown in a log only. */
export function remark(sentence: Part, details: readonly Part[] = [], level: Severity = 'info'): void {
  if (isLog) {
    const [msg, ...more] = [sentence, ...details].map((part) => StyledText.from(part).render(false));
    const line = { level, time: new Date().toISOString(), msg, ...(more.length > 0 ? { details: more } : {}) };
    write(process.stderr, text`${StyledText.json(line)}\n`);
    return;
  }
  write(process.stderr, text`${lines([text`arqon: ${sentence}`, ...details.map((detail) => text`  - ${detail}`)])}\n`);
}

/** A warning. */
export function warn(sentence: Part): void {
  remark(isLog ? sentence : text`warning: ${sentence}`, [], 'warn');
}
