/**
 * What a client should do after a close code (PROTOCOL section 8):
 * `after-notice` waits for the delay in the shutdown notice, `after-refresh` needs a new token first.
 */
export type Reconnect = 'now' | 'backoff' | 'after-notice' | 'after-refresh' | 'never';

export const CLOSE = {
  GOING_AWAY: 1001,
  POLICY_VIOLATION: 1008,
  MESSAGE_TOO_BIG: 1009,
  TOKEN_EXPIRED: 4401,
  DISCONNECTED_BY_ADMIN: 4403,
  HEARTBEAT_MISSED: 4408,
  SLOW_CONSUMER: 4429,
} as const;

export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

const RECONNECT: Readonly<Record<CloseCode, Reconnect>> = {
  [CLOSE.GOING_AWAY]: 'after-notice',
  [CLOSE.POLICY_VIOLATION]: 'never',
  [CLOSE.MESSAGE_TOO_BIG]: 'backoff',
  [CLOSE.TOKEN_EXPIRED]: 'after-refresh',
  [CLOSE.DISCONNECTED_BY_ADMIN]: 'never',
  [CLOSE.HEARTBEAT_MISSED]: 'now',
  [CLOSE.SLOW_CONSUMER]: 'backoff',
};

/** What to do after `code`. Every code that is not in the table (1006, 1011, …) is a broken connection: `backoff`. */
export function reconnectAfter(code: number): Reconnect {
  return RECONNECT[code as CloseCode] ?? 'backoff';
}
