import { type Paint, paintFor } from './colours.ts';

/** Control characters of C0 and C1: from others' text they could move the cursor or rename the window. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text of others as it may be shown on a terminal. */
export function visible(text: string): string {
  return text.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * Writes a text and a line end to standard output. Undefined when there is room for more; else resolves when there is,
 * or when nobody reads any more.
 */
export function print(text: string): Promise<void> | undefined {
  const { stdout } = process;
  if (!stdout.writable || stdout.write(`${text}\n`)) return undefined;
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
  await print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** The result of a verb: as JSON when asked for, else as `show` words it; an empty text prints nothing. */
export async function printResult<T>(
  isJson: boolean | undefined,
  result: T,
  show: (result: T, paint: Paint) => string,
): Promise<void> {
  if (isJson === true) return printDocument(result);
  const text = show(result, paintFor(process.stdout));
  if (text !== '') await print(text);
}

/** A remark on standard error, which stays out of pipes. */
export function remark(sentence: string): void {
  process.stderr.write(`arqon: ${sentence}\n`);
}
