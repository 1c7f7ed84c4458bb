import { CommanderError } from 'commander';
import { isStopping } from './stop.ts';
import { remark } from './terminal/output.ts';

/**
 * 0: success. 1: failure. 2: wrong use (an unknown option, a malformed value, an invalid configuration). 3: timeout
 * without a result, for waiting verbs.
 */
export const EXIT = { ok: 0, failure: 1, usage: 2, nothing: 3 } as const;

/** Wrong use: a sentence that says what to change, with exit code 2. */
export class UsageError extends Error {
  /** The individual errors, one sentence each. */
  readonly details: readonly string[];

  constructor(message: string, details: readonly string[] = []) {
    super(message);
    this.details = details;
  }
}

/** Sets the exit code for an error, and prints its message to standard error, without a stack. */
export function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // commander has printed the message; help and version are not failures.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return;
  }
  // Errors while the program is being stopped by the user, or by a closed pipe, are not reported.
  if (isStopping()) return;
  remark(messageOf(error), error instanceof UsageError ? error.details : [], 'fatal');
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failure;
}

/** Exits because of a bug in this program, with the stack for a bug report. */
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
