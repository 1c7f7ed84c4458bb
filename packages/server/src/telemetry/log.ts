import type { Events, FaultCounters, RefusalListener } from '@arqonbus/bus';
import type { Logger } from '../log.ts';

/** Logged elsewhere, with their own rules or details. */
const LOGGED_ELSEWHERE: ReadonlySet<string> = new Set([
  'auth_failed',
  'server_stats',
  'message_routed',
  'casil_decision',
]);
const LEVELS = { info: 'info', warning: 'warn', error: 'error' } as const;

/**
 * Logs connections, memberships, commands and problems. Server events contain no message content, so neither do the
 * lines; client-submitted events are not logged. Returns the function that stops it.
 */
export function logEvents(events: Events, log: Logger): () => void {
  return events.on(({ tenant, event: { eventType, severity, payload }, submitted }) => {
    const level = LEVELS[severity];
    if (submitted || !log.isLevelEnabled(level) || LOGGED_ELSEWHERE.has(eventType)) return;
    log[level]({ event: eventType, tenant, ...payload }, eventType.replaceAll('_', ' '));
  });
}

/** Logs each refused message: its sender and the reason, never its content. Returns the function that stops it. */
export function logRefusals(faults: FaultCounters, log: Logger): () => void {
  const listener: RefusalListener = (error_code, message) => log.info({ error_code, ...message }, 'message refused');
  faults.refusals.add(listener);
  return () => faults.refusals.delete(listener);
}
