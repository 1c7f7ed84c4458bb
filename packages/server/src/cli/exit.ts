import { CommanderError } from 'commander';
import { isStopping } from './stop.ts';

/** 0: done. 1: it failed. 2: it was asked for wrongly (unknown flag, malformed value, invalid configuration). */
export const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** Wrong use: a sentence that says what to change, and exit code 2. */
export class UsageError extends Error {}

/** Ends the process for an error: its sentence on standard error, never a stack. */
export function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // commander has printed what there is to say; help and version are no failure.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return;
  }
  // Whatever breaks off because the user, or the reader of a pipe, has had enough.
  if (isStopping()) return;
  process.stderr.write(`arqon: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failure;
}
