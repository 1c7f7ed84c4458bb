import { createInterface } from 'node:readline';
import { stopSignal } from './stop.ts';

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
