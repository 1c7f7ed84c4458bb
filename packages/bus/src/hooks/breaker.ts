import type { Clock } from '../clock.ts';

/** Failures in a row after which a backend is left alone. */
export const FAILURES_TO_OPEN = 5;
/** How long it is left alone before it is tried once more, in milliseconds. */
export const OPEN_MS = 10_000;

/**
 * Keeps questions away from a backend that does not answer: it opens after {@link FAILURES_TO_OPEN} failures in a row,
 * and after {@link OPEN_MS} lets one question through, whose outcome closes it or opens it again.
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

  /** Whether a question may be sent now. True is a promise that {@link succeeded} or {@link failed} follows. */
  mayAsk(): boolean {
    if (this.openUntil === null) return true;
    if (this.isTrying || this.clock.steady() < this.openUntil) return false;
    this.isTrying = true;
    return true;
  }

  /** Notes an answer; true when it was open until now. */
  succeeded(): boolean {
    const wasOpen = this.isOpen;
    this.failures = 0;
    this.openUntil = null;
    this.isTrying = false;
    return wasOpen;
  }

  /** Notes that none came; true when it opens by that, and was not open before. */
  failed(): boolean {
    const wasOpen = this.isOpen;
    this.failures += 1;
    if (!wasOpen && this.failures < FAILURES_TO_OPEN) return false;
    // What was asked before it opened fails late, and does not lengthen it.
    if (!wasOpen || this.isTrying) this.openUntil = this.clock.steady() + OPEN_MS;
    this.isTrying = false;
    return !wasOpen;
  }
}
