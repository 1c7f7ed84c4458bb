import { createInterface } from 'node:readline';

const stopping = new AbortController();
let watching = false;

/** How long a verb may take to end once its reader has gone, milliseconds. */
const FAREWELL_MS = 1_000;

/**
 * Aborted when a verb that runs on should end: Ctrl-C, SIGTERM, or nobody reads its output any more. The first call
 * takes the signals over; a second Ctrl-C then ends the process at once.
 */
export function stopSignal(): AbortSignal {
  if (!watching) {
    watching = true;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop);
  }
  return stopping.signal;
}

/** Whether the process ends because somebody asked it to. */
export function isStopping(): boolean {
  return stopping.signal.aborted;
}

/** A reader that has gone away (`arqon … | head -1`) ends the process quietly, instead of with an error. */
export function stopOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (!watching) process.exit(0);
    stopping.abort();
    setTimeout(() => process.exit(0), FAREWELL_MS).unref();
  });
}

/** Ends a verb that runs on; a second call ends the process at once. */
export function stop(): void {
  if (stopping.signal.aborted) process.exit(1);
  stopping.abort();
}

/** The lines of standard input, as they come, until its end or until the user has had enough. */
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
