import { createInterface } from 'node:readline';

const stopping = new AbortController();
let watching = false;

/** Time limit for a verb to end once its output is closed, milliseconds. */
const FAREWELL_MS = 1_000;

/**
 * Aborted when a continuous verb should end: on Ctrl-C, SIGTERM, or when its output is closed. The first call installs
 * signal handlers; a second Ctrl-C then exits immediately.
 */
export function stopSignal(): AbortSignal {
  if (!watching) {
    watching = true;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop);
  }
  return stopping.signal;
}

/** Whether the process is ending on request. */
export function isStopping(): boolean {
  return stopping.signal.aborted;
}

/** If the reader of the output exits (`arqon … | head -1`), ends quietly instead of with an error. */
export function stopOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (!watching) process.exit(0);
    stopping.abort();
    setTimeout(() => process.exit(0), FAREWELL_MS).unref();
  });
}

/** Ends a continuous verb; a second call exits immediately. */
export function stop(): void {
  if (stopping.signal.aborted) process.exit(1);
  stopping.abort();
}

/** Yields the lines of standard input until its end or until the program is stopped. */
export async function* inputLines(): AsyncGenerator<string> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const end = (): void => {
    lines.close();
    process.stdin.destroy();
  };
  const signal = stopSignal();
  signal.addEventListener('abort', end, { once: true });
  try {
    if (!signal.aborted) yield* lines;
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}
