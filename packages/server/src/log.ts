import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { BusError } from '@arqonbus/protocol';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger };

export interface LogOptions {
  readonly level: string;
  /** Where the lines go; standard error by default, so that standard output stays for what a command prints. */
  readonly destination?: NodeJS.WritableStream;
}

/** Bytes of log lines that wait for a reader before new ones are dropped. */
const MAX_BUFFERED = 4 * 1_048_576;

/** What may stand in no log line, wherever it comes from. */
const SECRETS = ['token', 'authorization', 'password', 'secret', 'api_key', 'apiKey', 'jwtSecret'];

/** The server's log: one JSON object a line. Tokens and payloads never reach it. */
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

/** What failed that nobody waited for. A storage that is away is no fault of the server, so its sentence says all. */
export function logFault(log: Logger, error: unknown): void {
  const isOutage = error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE';
  if (isOutage) log.warn({ reason: error.message }, 'something could not be done while the storage was away');
  else log.error({ err: error }, 'unexpected fault');
}

/**
 * Standard error. A file or terminal takes what it is given; a pipe may have a reader that does not read, and that must
 * not stop the bus: there lines wait in a bounded queue, and what is lost beyond it is log lines.
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
