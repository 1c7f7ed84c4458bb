import { lines, type Part, StyledText, text } from './styled-text.ts';
import { write } from './writer.ts';

/**
 * Prints a text and a line end on standard output. Undefined when there is room for more; else resolves when there is,
 * or when nobody reads any more.
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

/** One JSON document: indented where a person reads it, one line for programs. */
export async function printDocument(value: unknown): Promise<void> {
  await print(StyledText.json(value, process.stdout.isTTY ? 2 : 0));
}

/** One JSON document on one line. */
export function printJsonLine(value: unknown): Promise<void> | undefined {
  return print(StyledText.json(value));
}

/** The result of a verb: as JSON when asked for, else as `show` words it; an empty text prints nothing. */
export async function printResult<T>(isJson: boolean | undefined, result: T, show: (result: T) => Part): Promise<void> {
  if (isJson === true) return printDocument(result);
  const shown = StyledText.from(show(result));
  if (!shown.isEmpty) await print(shown);
}

export type Severity = 'info' | 'warn' | 'error' | 'fatal';

let isLog = false;

/** Has remarks be lines of the server's log from now on, one JSON object each, unless a person reads them. */
export function remarkInLog(): void {
  isLog = process.stderr.isTTY !== true;
}

/**
 * A remark on standard error, which stays out of pipes; `details` follow it, one a line. The severity shows in a log
 * alone.
 */
export function remark(sentence: Part, details: readonly Part[] = [], level: Severity = 'info'): void {
  if (isLog) {
    const [msg, ...more] = [sentence, ...details].map((part) => StyledText.from(part).render(false));
    const line = { level, time: new Date().toISOString(), msg, ...(more.length > 0 ? { details: more } : {}) };
    write(process.stderr, text`${StyledText.json(line)}\n`);
    return;
  }
  write(process.stderr, text`${lines([text`arqon: ${sentence}`, ...details.map((detail) => text`  - ${detail}`)])}\n`);
}

/** A remark about what is allowed and hardly meant. */
export function warn(sentence: Part): void {
  remark(isLog ? sentence : text`warning: ${sentence}`, [], 'warn');
}
