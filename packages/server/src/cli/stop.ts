const stopping = new AbortController();
let watching = false;

/** Time that a verb has for its farewells once its reader has gone, milliseconds. */
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

/** Whether the process is on its way out at somebody's wish. */
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
