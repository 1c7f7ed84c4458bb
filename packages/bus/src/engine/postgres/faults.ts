import { BusError } from '@arqonbus/protocol';
import type { Failure } from '../server-link.ts';

/** What the driver throws: a code of the server (five characters), of the driver, or of the system. */
interface DriverError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly severity?: unknown;
}

/** What a question's error means: an answer of the server, or that there was none. */
export function judge(error: unknown): Failure {
  const code = codeOf(error);
  // Serialization, deadlock, and the mark of a call that another try of it has left meanwhile.
  if (code === '40001' || code === '40P01' || code === '23505') return 'retry';
  if (!isOfServer(error)) return 'lost';
  // Connection exceptions, shutdowns, too many connections, a server that takes no writes any more.
  if (/^(08|57P|53300|25006)/.test(code)) return 'reconnect';
  // A statement that was prepared for tables as they were before a migration.
  return code === '0A000' || code === '26000' ? 'retry' : 'refused';
}

/** Whether the server itself has answered so. */
function isOfServer(error: unknown): boolean {
  return typeof (error as DriverError).severity === 'string';
}

function codeOf(error: unknown): string {
  const { code } = error as DriverError;
  return typeof code === 'string' ? code : '';
}

export function tooBusy(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'PostgreSQL cannot write as fast as messages arrive; send it again.');
}

export function isDriverMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}

/** One sentence for what went wrong with the server at `shown`, on which an operator can act. It holds no credential. */
export function sentence(error: unknown, shown: string): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (isDriverMissing(error)) {
    return 'The postgres storage backend needs the package "postgres": install it with "npm install postgres".';
  }
  if (code === 'ECONNREFUSED') return `Nothing listens at ${shown}: is PostgreSQL running there?`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `The host of ${shown} cannot be found.`;
  if (code === 'CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return `${shown} did not answer in time.`;
  if (code === '28P01' || code === '28000') return `${shown} refused the user or password of the PostgreSQL URL.`;
  if (code === '3D000') return `${shown} does not exist: create the database that the PostgreSQL URL names.`;
  if (code === '42501') {
    return `${shown} does not let this user make or use its tables (${message}): grant it CREATE and USAGE on the schema.`;
  }
  if (code === '53300') return `${shown} has no connection left: raise its max_connections, a node needs eight.`;
  if (code === '57P03') return `${shown} is starting up or shutting down.`;
  if (code === '53100') return `${shown} has no space left on its disk.`;
  return `${shown} failed: ${message}`;
}
