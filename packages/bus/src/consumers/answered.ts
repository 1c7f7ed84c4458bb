/** What a member says of the events that it holds. */
export type AnswerKind = 'ack' | 'nack' | 'extend' | 'reject';

/** How long an answer that was written may be asked for again, in milliseconds. */
const KEPT_MS = 60_000;
/** Answers that are kept at least; a group that may have more events out keeps as many. */
const LEAST_KEPT = 256;

interface Taken {
  readonly kind: AnswerKind;
  /** Until when it is kept, by the clock that is told; for ever while it is not known to be written. */
  until: number;
}

/**
 * Answers of members that were taken, while those who gave them may not know it: a write may be made and its outcome be
 * lost, with the line to the storage or with a node. Their leases are over by then; given again, they are done, not lost.
 */
export class AnsweredTokens {
  /** By token without the group's id; the oldest first. */
  private readonly taken: Map<string, Taken> = new Map();

  get size(): number {
    return this.taken.size;
  }

  /** @param mostOut events that may be out at the same time */
  add(token: string, kind: AnswerKind, mostOut: number): void {
    this.taken.set(shortOf(token), { kind, until: Number.POSITIVE_INFINITY });
    const most = Math.max(LEAST_KEPT, mostOut);
    for (const oldest of this.taken.keys()) {
      if (this.taken.size <= most) return;
      this.taken.delete(oldest);
    }
  }

  /** Whether this very answer was taken. */
  has(token: string, kind: AnswerKind, now: number): boolean {
    const taken = this.taken.get(shortOf(token));
    return taken !== undefined && taken.kind === kind && taken.until > now;
  }

  /** Those who gave these answers are told; what is told to another node may be lost on its way. */
  told(tokens: readonly string[], isFar: boolean, now: number): void {
    for (const token of tokens) {
      const taken = this.taken.get(shortOf(token));
      if (taken === undefined) continue;
      if (isFar) taken.until = Math.min(taken.until, now + KEPT_MS);
      else this.taken.delete(shortOf(token));
    }
  }

  /** What {@link restore} takes up. */
  record(now: number): [token: string, kind: AnswerKind][] {
    const kept: [string, AnswerKind][] = [];
    for (const [token, { kind, until }] of this.taken) {
      if (until > now) kept.push([token, kind]);
      else this.taken.delete(token);
    }
    return kept;
  }

  /** Takes up what was written: those who may ask for it have all the time again. */
  restore(record: readonly (readonly [token: string, kind: AnswerKind])[], now: number): void {
    for (const [token, kind] of record) this.taken.set(token, { kind, until: now + KEPT_MS });
  }
}

/** Tokens begin with the id of their group, and a dot. */
function shortOf(token: string): string {
  return token.slice(token.indexOf('.') + 1);
}
