import { CLOSE, encode } from '@arqonbus/protocol';
import type { Session } from './session.ts';

/** How long before its token expires a client is notified, in milliseconds. */
const NOTICE_MS = 60_000;
/** The longest timer delay; later deadlines are checked again when it fires. */
const MAX_DELAY_MS = 3_600_000;

/**
 * Closes connections whose token has expired (PROTOCOL section 7): a notice 60 s before the token's `exp` (at once if
 * less is left), then close 4401 after the leeway, unless the token was renewed. One timer, set for the next deadline.
 */
export class TokenExpiry {
  private readonly sessions: Map<Session, { notified: boolean }> = new Map();
  private readonly now: () => number;
  private readonly close: (session: Session, code: number, reason: string) => void;
  private timer: NodeJS.Timeout | undefined;
  private armedFor: number = Number.POSITIVE_INFINITY;

  constructor(now: () => number, close: (session: Session, code: number, reason: string) => void) {
    this.now = now;
    this.close = close;
  }

  /** Watches a session, also again after its token was renewed. */
  watch(session: Session): void {
    const { expiresAt, tokenExpiresAt } = session.principal;
    if (expiresAt === null) {
      this.sessions.delete(session);
      return;
    }
    this.sessions.set(session, { notified: false });
    this.arm((tokenExpiresAt ?? expiresAt) - NOTICE_MS);
  }

  forget(session: Session): void {
    if (this.sessions.delete(session) && this.sessions.size === 0) this.stop();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.armedFor = Number.POSITIVE_INFINITY;
  }

  /** Sets the timer to fire at `due`, unless it fires earlier. */
  private arm(due: number): void {
    if (due >= this.armedFor) return;
    this.armedFor = due;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), Math.min(Math.max(0, due - this.now()), MAX_DELAY_MS));
    this.timer.unref();
  }

  private run(): void {
    this.armedFor = Number.POSITIVE_INFINITY;
    const now = this.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [session, state] of [...this.sessions]) {
      const { expiresAt, tokenExpiresAt } = session.principal;
      if (expiresAt === null) continue;
      const told = tokenExpiresAt ?? expiresAt;
      if (!state.notified && told - NOTICE_MS <= now) {
        state.notified = true;
        const expires_in_ms = Math.max(0, told - now);
        const expires_at = new Date(told).toISOString();
        session.send(encode({ type: 'system', payload: { event: 'token_expiring', expires_at, expires_in_ms } }));
      }
      if (expiresAt <= now) {
        this.sessions.delete(session);
        this.close(session, CLOSE.TOKEN_EXPIRED, 'token expired');
        continue;
      }
      next = Math.min(next, state.notified ? expiresAt : told - NOTICE_MS);
    }
    if (next !== Number.POSITIVE_INFINITY) this.arm(next);
  }
}
