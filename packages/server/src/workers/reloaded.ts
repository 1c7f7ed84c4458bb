import { changesBetween } from '../config/changes.ts';
import type { Config } from '../config/config.ts';
import type { Reloaded } from '../http/admin-routes.ts';

/** Settings that all workers must share. */
const SHARED: ReadonlySet<string> = new Set(
  ['server', 'telemetry', 'http'].flatMap((at) => [`${at}.host`, `${at}.port`]),
);

/**
 * The effect of a new configuration on a server with workers. Where a single process would reopen its listeners, the
 * workers are replaced, unless a shared setting changed as well: then all of those changes need a new server.
 */
export function reloadedByWorkers(config: Config, wanted: Config): Reloaded {
  const { now, reopened, start } = changesBetween(config, wanted);
  const shared = [...start, ...reopened.filter((path) => SHARED.has(path))];
  const isStuck = shared.length > 0;
  return {
    changed: now,
    reopening: isStuck ? [] : reopened,
    needs_new_process: isStuck ? [...new Set([...start, ...reopened])] : [],
  };
}
