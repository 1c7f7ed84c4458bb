import type { Clock } from '../clock.ts';

/** Consecutive failures after which the breaker opens. */
export const FAILURES_TO_OPEN = 5;
/** How long it stays open before a trial request, in milliseconds. */
export const OPEN_MS = 10_000;

/**
 * A circuit breaker: it opens after {@link FAILURES_TO_OPEN} consecutive failures, and after {@link OPEN_MS} lets one
 * request through, whose outcome closes it or opens it again.
 */
export class Breaker {
  private readonly clock: Clock;
  private failures = 0;
  /** On the clock's steady time; null while it is closed. */
  private openUntil: number | null = null;
  private isTrying = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get isOpen(): boolean {
    return this.openUntil !== null;
  }

  /** Whether a request may be sent now. After true, {@link succeeded} or {@link failed} must follow. */
  mayAsk(): boolean {
    if (this.openUntil === null) return true;
    if (this.isTrying || this.clock.steady() < this.openUntil) return false;
    this.isTrying = true;
    return true;
  }

  /** Records an answer; true if the breaker was open until now. */
  succeeded(): boolean {
    const wasOpen = this.isOpen;
    this.failures = 0;
    this.openUntil = null;
    this.isTrying = false;
    return wasOpen;
  }

  /** Records a failure; true if this opens the breaker. */
  failed(): boolean {
    const wasOpen = this.isOpen;
    this.failures += 1;
    if (!wasOpen && this.failures < FAILURES_TO_OPEN) return false;
    // Requests sent before it opened fail late, and do not extend the open time.
    if (!wasOpen || this.isTrying) this.openUntil = this.clock.steady() + OPEN_MS;
    this.isTrying = false;
    return !wasOpen;
  }
}
