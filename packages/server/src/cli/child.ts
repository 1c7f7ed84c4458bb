import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UsageError } from './exit.ts';

/** How a command ended: its exit code, or the signal that ended it. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** Added to the environment of this program. A NUL, which no variable can hold, is left out. */
  readonly env: Readonly<Record<string, string>>;
  /** All of its standard input; without it the command has that of this program. */
  readonly input?: string;
  /**
   * Keeps Ctrl-C from the command: it is for the verb alone, which lets the command finish. A second Ctrl-C ends both.
   */
  readonly shielded?: boolean;
  /** Ends the command with SIGTERM. */
  readonly signal?: AbortSignal;
}

/** Shielded commands that run. */
const shielded = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of shielded) end(child, true);
});

/** Refuses a command that cannot be run, before anything is taken that it would be run for. Throws {@link UsageError}. */
export function requireCommand(words: readonly string[]): void {
  const [name] = words;
  if (name === undefined) throw new UsageError('name the command to run after "--", such as: -- ./handle.sh');
  const folders = name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  if (folders.some((folder) => isProgram(folder === '' ? name : join(folder, name)))) return;
  throw new UsageError(`the command "${name}" was not found, or may not be run.`);
}

/** Runs a command; its output is that of this program. Rejects when it cannot be started. */
export function runCommand(words: readonly string[], options: ChildOptions): Promise<Ending> {
  const { env, input, shielded: isShielded = false, signal } = options;
  const [name = '', ...args] = words;
  const clean = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.replaceAll('\0', '')]));
  const child = spawn(name, args, {
    env: { ...process.env, ...clean },
    // A group of its own is what a terminal's Ctrl-C does not reach.
    detached: isShielded,
    stdio: [input === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'],
  });
  if (isShielded) shielded.add(child);
  const abort = (): void => end(child, isShielded);
  // It may end without having read its input.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  return new Promise<Ending>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, by) => resolve({ code, signal: by }));
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
  }).finally(() => {
    signal?.removeEventListener('abort', abort);
    shielded.delete(child);
  });
}

function end(child: ChildProcess, isGroup: boolean): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(isGroup ? -child.pid : child.pid, 'SIGTERM');
  } catch {
    // It has just ended by itself.
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
