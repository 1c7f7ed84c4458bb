import { changesBetween } from '../config/changes.ts';
import type { Config } from '../config/config.ts';
import type { Reloaded } from '../http/admin-routes.ts';

/** What the workers share: one that had another of it would be no part of the same server. */
const SHARED: ReadonlySet<string> = new Set(
  ['server', 'telemetry', 'http'].flatMap((at) => [`${at}.host`, `${at}.port`]),
);

/**
 * What comes of another configuration with workers. Those are replaced where one process would reopen its listeners, but
 * not while something that they share has changed as well: then all of that takes a new server.
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
