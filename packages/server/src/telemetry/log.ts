import type { Events, FaultCounters, RefusalListener } from '@arqonbus/bus';
import type { Logger } from '../log.ts';

/** Logged where they arise, by rules or with details of their own. */
const LOGGED_ELSEWHERE: ReadonlySet<string> = new Set([
  'auth_failed',
  'server_stats',
  'message_routed',
  'casil_decision',
]);
const LEVELS = { info: 'info', warning: 'warn', error: 'error' } as const;

/**
 * Writes what happens into the log: connections, memberships, commands, trouble. Events of the server hold no message
 * content, so neither do the lines; what clients submit is theirs and is not logged. Returns the way to stop.
 */
export function logEvents(events: Events, log: Logger): () => void {
  return events.on(({ tenant, event: { eventType, severity, payload }, submitted }) => {
    if (submitted || LOGGED_ELSEWHERE.has(eventType)) return;
    log[LEVELS[severity]]({ event: eventType, tenant, ...payload }, eventType.replaceAll('_', ' '));
  });
}

/** Writes a line for each message that was refused: whose it was and why, never what it held. Returns the way to stop. */
export function logRefusals(faults: FaultCounters, log: Logger): () => void {
  const listener: RefusalListener = (error_code, message) => log.info({ error_code, ...message }, 'message refused');
  faults.refusals.add(listener);
  return () => faults.refusals.delete(listener);
}
