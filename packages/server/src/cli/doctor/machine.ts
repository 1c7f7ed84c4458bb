import { type Finding, failed, ok, warn } from './finding.ts';

const LEAST_NODE = 20;
/** Files that a server needs besides its connections: program, storage, log. */
const OTHER_FILES = 100;

export function checkNode(version: string = process.versions.node): Finding {
  const major = Number(version.split('.', 1)[0]);
  if (major >= LEAST_NODE) return ok('node', `Node.js ${version}.`);
  return failed('node', `Node.js ${version} is too old.`, `Install Node.js ${LEAST_NODE} or newer.`);
}

/** @param limit maximum open files of this process; undefined if the system does not report it */
export function checkFiles(maxConnections: number, limit: number | undefined = openFileLimit()): Finding {
  if (limit === undefined) return ok('files', 'This system does not say how many files may be open.');
  const needed = maxConnections + OTHER_FILES;
  if (limit >= needed) return ok('files', `${limit} files may be open; ${maxConnections} connections need ${needed}.`);
  return warn(
    'files',
    `Only ${limit} files may be open, and ${maxConnections} connections need ${needed}.`,
    `Raise the limit ("ulimit -n ${needed}", LimitNOFILE= under systemd) or lower ARQONBUS_MAX_CONNECTIONS.`,
  );
}

function openFileLimit(): number | undefined {
  const report = process.report?.getReport() as
    | { userLimits?: { open_files?: { soft?: number | string } } }
    | undefined;
  const soft = report?.userLimits?.open_files?.soft;
  if (soft === undefined) return undefined;
  return typeof soft === 'number' ? soft : Number.POSITIVE_INFINITY;
}
