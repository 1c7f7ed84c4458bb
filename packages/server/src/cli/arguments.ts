import { readFileSync } from 'node:fs';
import type { JsonObject } from '@arqonbus/protocol';
import { InvalidArgumentError } from 'commander';
import { UsageError } from './exit.ts';

/** Maximum timer delay, in seconds. */
const MAX_SECONDS = 2_147_483;

/** A commander parser: an integer of at least `least` and at most `most`. */
export function whole(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    const end = most === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${most}`;
    throw new InvalidArgumentError(`It must be a whole number, at least ${least}${end}.`);
  };
}

/** A commander parser: seconds, with fractions. */
export function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= MAX_SECONDS) return value;
  throw new InvalidArgumentError(`It must be a number of seconds, more than 0 and at most ${MAX_SECONDS}.`);
}

/** A commander parser: a number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}

/** A commander parser: a comma-separated list; the option is repeatable. */
export function collectList(text: string, earlier: readonly string[] | undefined): readonly string[] {
  const parts = text.split(',').map((part) => part.trim());
  return [...(earlier ?? []), ...parts.filter((part) => part !== '')];
}

/** How messages name values from the command line. */
const TYPED = /^the (argument|value|envelope) /;

type Headers = Readonly<Record<string, string>>;

/** A commander parser: `Name: value`, repeatable. */
export function collectHeader(text: string, earlier: Headers | undefined): Headers {
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(0, colon)).trim();
  if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) {
    throw new InvalidArgumentError('Write a header as "Name: value".');
  }
  return { ...earlier, [name]: text.slice(colon + 1).trim() };
}

type Lists = Readonly<Record<string, readonly string[]>>;

/** A commander parser: `ACTION=GLOBS`, collected by action. */
export function collectGrants(text: string, earlier: Lists | undefined): Lists {
  const [, action = '', globs = ''] = /^([a-z_]+)=(.*)$/.exec(text) ?? [];
  if (action === '') throw new InvalidArgumentError('Write a grant as ACTION=GLOBS, such as "store_read=desk/*".');
  return { ...earlier, [action]: collectList(globs, earlier?.[action]) };
}

/**
 * Parses JSON. Throws {@link UsageError} that shows how to write it.
 *
 * @param what the subject of that sentence, such as `the argument <payload>`
 */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Files and standard input do not pass through the shell.
    const isTyped = TYPED.test(what);
    const hint = isTyped ? ` Quote it for the shell: '{"text":"hello"}' or '"a string"'.` : '';
    throw new UsageError(`${what} is not valid JSON.${hint}`);
  }
}

/** Parses a JSON object. Throws {@link UsageError} that shows how to write it. */
export function parseObject(text: string, what: string): JsonObject {
  const value = parseJson(text, what);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new UsageError(`${what} must be a JSON object, such as '{"text":"hello"}'.`);
}

/** `text`, or all of standard input for `-`. */
export function textOrStdin(text: string): string {
  return text === '-' ? readFileSync(0, 'utf8') : text;
}

/** The text of a file, or of standard input for `-`. Throws {@link UsageError} that names the option. */
export function readText(path: string, option: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    const { code = 'unreadable' } = error as NodeJS.ErrnoException;
    throw new UsageError(`${option} names ${path}, which cannot be read (${code}).`);
  }
}

/** The fields that are not undefined. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
