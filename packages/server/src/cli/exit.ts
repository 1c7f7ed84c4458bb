import { CommanderError } from 'commander';
import { isStopping } from './stop.ts';
import { remark } from './terminal/output.ts';

/**
 * 0: done. 1: it failed. 2: wrong use (an unknown option, a malformed value, an invalid configuration). 3: nothing came,
 * of a verb that waits.
 */
export const EXIT = { ok: 0, failure: 1, usage: 2, nothing: 3 } as const;

/** Wrong use: a sentence that says what to change, and exit code 2. */
export class UsageError extends Error {
  /** What is wrong in particular, a sentence each. */
  readonly details: readonly string[];

  constructor(message: string, details: readonly string[] = []) {
    super(message);
    this.details = details;
  }
}

/** Ends the process for an error: its sentence on standard error, never a stack. */
export function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // commander has printed what there is to say; help and version are no failure.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return;
  }
  // The user, or the reader of a pipe, has had enough; whatever breaks off then is not an error.
  if (isStopping()) return;
  remark(messageOf(error), error instanceof UsageError ? error.details : [], 'fatal');
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failure;
}

/** Ends the process for a fault of this program, with the stack that a report of it needs. */
export function crash(error: unknown): void {
  if (!isStopping()) {
    const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1) : [];
    remark(
      `this is a fault of arqon itself; please report it. ${messageOf(error)}`,
      stack.map((line) => line.trim()),
      'fatal',
    );
  }
  process.exit(EXIT.failure);
}

export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : (JSON.stringify(error) ?? 'unknown error');
}
