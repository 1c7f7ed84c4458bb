import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** Below this no file can grow by what SQLite needs at once. */
const FULL_BYTES = 65_536;

/** A libsql error: with an SQLite `code`, or only a message with its number when a file could not be opened. */
interface DriverError {
  readonly code?: unknown;
  readonly message?: unknown;
}

/** A permanent fault; its message is the sentence to show. */
export class DatabaseFault extends Error {}

const LASTING = /^(SQLITE_NOTADB|SQLITE_CORRUPT|ERR_MODULE_NOT_FOUND|MODULE_NOT_FOUND)/;

/** Whether retrying does not help: the file, or the machine, is unusable for the engine. */
export function isLasting(error: unknown): boolean {
  return error instanceof DatabaseFault || LASTING.test(String((error as DriverError).code));
}

/** One sentence on an error of the database at `path` that an operator can act on. */
export function sentence(error: unknown, path: string): string {
  if (error instanceof DatabaseFault) return error.message;
  const { code, message } = error as DriverError;
  const text = typeof message === 'string' ? message : String(error);
  const name = typeof code === 'string' ? code : '';
  const file = `The SQLite database ${path}`;
  // On a full disk the shared memory file cannot be created, which SQLite reports like any other write failure.
  if (name === 'SQLITE_FULL' || (name.startsWith('SQLITE_IOERR') && isFull(path))) {
    return `${file} cannot grow: its disk or its quota is full.`;
  }
  if (name.startsWith('SQLITE_READONLY')) return `${file} is read-only: allow writing to the file and its directory.`;
  if (name === 'SQLITE_NOTADB') return `${file} is not a SQLite database: choose another path.`;
  if (name.startsWith('SQLITE_CORRUPT')) return `${file} is damaged (${text}): restore it from a backup.`;
  if (name.startsWith('SQLITE_BUSY')) return `${file} is in use by another process.`;
  if (name.startsWith('SQLITE_CANTOPEN') || text.includes('Unable to open connection')) {
    return `${file} cannot be opened: its directory must exist and allow writing.`;
  }
  if (name.startsWith('SQLITE_IOERR')) return `${file} cannot be read or written (${text}).`;
  if (name === 'ERR_MODULE_NOT_FOUND' || name === 'MODULE_NOT_FOUND') {
    return 'The sqlite storage backend needs the package "libsql" with its binary for this platform: install it with "npm install libsql".';
  }
  return `${file} failed: ${text}`;
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize < FULL_BYTES;
  } catch {
    return false;
  }
}
