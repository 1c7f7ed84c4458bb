import { type ErrorCode, MAX_VIOLATIONS, VIOLATION_WINDOW_MS, VIOLATIONS } from '@arqonbus/protocol';

/** Counts the protocol violations of one connection (PROTOCOL section 8). */
export class ViolationCount {
  private since = 0;
  private count = 0;

  /** Counts a refusal; true when there were too many violations in the time window, and the connection must close. */
  add(code: ErrorCode, now: number): boolean {
    if (!VIOLATIONS.has(code)) return false;
    if (now - this.since > VIOLATION_WINDOW_MS) {
      this.since = now;
      this.count = 0;
    }
    this.count += 1;
    return this.count >= MAX_VIOLATIONS;
  }
}
