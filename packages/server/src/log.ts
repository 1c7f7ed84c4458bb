import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { BusError } from '@arqonbus/protocol';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger };

export interface LogOptions {
  readonly level: string;
  /** Where the lines are written; default: standard error, so that standard output is free for command output. */
  readonly destination?: NodeJS.WritableStream;
}

/** Maximum bytes of buffered log lines; beyond that, new lines are dropped. */
const MAX_BUFFERED = 4 * 1_048_576;

/** Fields that are always redacted. */
const SECRETS = ['token', 'authorization', 'password', 'secret', 'api_key', 'apiKey', 'jwtSecret'];

/** The server's log: one JSON object per line. Tokens and payloads are never logged. */
export function createLog({ level, destination }: LogOptions): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '***' },
  };
  return pino(options, destination ?? standardError());
}

/** Logs a background failure. A storage outage is not a server bug, so its message is enough. */
export function logFault(log: Logger, error: unknown): void {
  const isOutage = error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE';
  if (isOutage) log.warn({ reason: error.message }, 'something could not be done while the storage was away');
  else log.error({ err: error }, 'unexpected fault');
}

/**
 * Standard error. Files and terminals are written synchronously. A pipe may have a reader that has stopped reading,
 * which must not block the bus: lines wait in a bounded queue, and lines beyond it are dropped.
 */
function standardError(): DestinationStream {
  const kind = fstatSync(2);
  if (!kind.isFIFO() && !kind.isSocket()) return pino.destination({ dest: 2, sync: true });
  const pipe = new Socket({ fd: 2, readable: false, writable: true });
  pipe.on('error', () => pipe.destroy());
  pipe.unref();
  return {
    write: (line) => {
      if (!pipe.destroyed && pipe.writableLength < MAX_BUFFERED) pipe.write(line);
    },
  };
}
