import { BusError } from '@arqonbus/protocol';
import type { Failure } from '../server-link.ts';

/** A driver error: its code is from the server (five characters), the driver, or the system. */
interface DriverError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly severity?: unknown;
}

/** The meaning of a failed request: a server reply, or no reply at all. */
export function judge(error: unknown): Failure {
  const code = codeOf(error);
  // Serialization failure, deadlock, and the marker left by another attempt of the same call.
  if (code === '40001' || code === '40P01' || code === '23505') return 'retry';
  if (!isOfServer(error)) return 'lost';
  // Connection exceptions, shutdowns, too many connections, a server that became read-only.
  if (/^(08|57P|53300|25006)/.test(code)) return 'reconnect';
  // A statement prepared for the tables before a migration.
  return code === '0A000' || code === '26000' ? 'retry' : 'refused';
}

/** Whether the error is a server reply. */
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

/** One sentence on an error of the server at `shown` that an operator can act on. Contains no credentials. */
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
