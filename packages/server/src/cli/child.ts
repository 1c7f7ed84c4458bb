import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UsageError } from './exit.ts';

/** How a command ended: by exit code or by signal. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  /** Added to this program's environment. NULs are removed, since variables cannot contain them. */
  readonly env: Readonly<Record<string, string>>;
  /** The whole standard input; default: this program's standard input. */
  readonly input?: string;
  /**
   * Shields the command from Ctrl-C: only the verb handles it, and lets the command finish. A second Ctrl-C ends both.
   */
  readonly shielded?: boolean;
  /** Stops the command with SIGTERM. */
  readonly signal?: AbortSignal;
}

/** Running shielded commands. */
const shielded = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of shielded) end(child, true);
});

/** Throws {@link UsageError} for a command that cannot be run, before any work is taken for it. */
export function requireCommand(words: readonly string[]): void {
  const [name] = words;
  if (name === undefined) throw new UsageError('name the command to run after "--", such as: -- ./handle.sh');
  const folders = name.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  if (folders.some((folder) => isProgram(folder === '' ? name : join(folder, name)))) return;
  throw new UsageError(`the command "${name}" was not found, or may not be run.`);
}

/** Runs a command whose output goes to this program's output. Rejects if it cannot be started. */
export function runCommand(words: readonly string[], options: ChildOptions): Promise<Ending> {
  const { env, input, shielded: isShielded = false, signal } = options;
  const [name = '', ...args] = words;
  const clean = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.replaceAll('\0', '')]));
  const child = spawn(name, args, {
    env: { ...process.env, ...clean },
    // Ctrl-C of the terminal does not reach a separate process group.
    detached: isShielded,
    stdio: [input === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'],
  });
  if (isShielded) shielded.add(child);
  const abort = (): void => end(child, isShielded);
  // It may exit without reading its input.
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
    // It has just exited.
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
