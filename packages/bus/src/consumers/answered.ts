/** A member's answer for events that it holds. */
export type AnswerKind = 'ack' | 'nack' | 'extend' | 'reject';

/** How long a written answer may be repeated, in milliseconds. */
const KEPT_MS = 60_000;
/** Minimum number of answers kept; a group that may have more events out keeps as many. */
const LEAST_KEPT = 256;

/** Who gave an answer, and over which connection. */
export interface Answerer {
  /** The subject; null: none. */
  readonly by: string | null;
  /** The connection; null: a request without one. Undefined: a part of this program, which always gets the result. */
  readonly via?: string | null | undefined;
}

interface Taken {
  readonly kind: AnswerKind;
  /** Who gave it last; null when known only from the record. */
  answerer: Answerer | null;
  /** When it is dropped, by the caller's clock; never while its write is unconfirmed. */
  until: number;
}

/**
 * Accepted answers whose senders may not know the outcome: a write can succeed and its result be lost, on the way to a
 * node or to the client. Their leases have ended by then; when repeated, such answers count as done, not lost.
 */
export class AnsweredTokens {
  /** By token without the group's id; the oldest first. Recorded. */
  private readonly taken: Map<string, Taken> = new Map();
  /** Answers confirmed to this node's clients over possibly broken connections. Not recorded, to keep writes small. */
  private readonly toldHere: Map<string, Taken> = new Map();
  /** Maximum size of each map. */
  private most = LEAST_KEPT;

  get size(): number {
    return this.taken.size;
  }

  /** @param mostOut maximum number of events out at the same time */
  add(token: string, kind: AnswerKind, mostOut: number, answerer: Answerer): void {
    this.most = Math.max(LEAST_KEPT, mostOut);
    put(this.taken, shortOf(token), { kind, answerer, until: Number.POSITIVE_INFINITY }, this.most);
  }

  /**
   * Whether an answer was accepted before and its sender may not know; if so, the repetition is noted.
   *
   * @param isAgain whether the sender marked it as repeated
   */
  takesAgain(token: string, kind: AnswerKind, answerer: Answerer, isAgain: boolean, now: number): boolean {
    const isKnown = isAgain ? this.has(token, kind, now) : this.hasOverAnother(token, kind, answerer, now);
    if (isKnown) this.givenAgain(token, answerer);
    return isKnown;
  }

  /** Whether the same answer was accepted before, and can be repeated. */
  has(token: string, kind: AnswerKind, now: number): boolean {
    return this.find(token, kind, now) !== undefined;
  }

  /** Whether the same sender gave the same answer over another connection, which may have broken. */
  hasOverAnother(token: string, kind: AnswerKind, { by, via }: Answerer, now: number): boolean {
    const taken = this.find(token, kind, now);
    if (taken === undefined || via === undefined) return false;
    const { answerer } = taken;
    return answerer === null || (answerer.by === by && (via === null || answerer.via !== via));
  }

  /** Notes a repeated answer. */
  givenAgain(token: string, answerer: Answerer): void {
    const taken = this.taken.get(shortOf(token)) ?? this.toldHere.get(shortOf(token));
    if (taken !== undefined) taken.answerer = answerer;
  }

  private find(token: string, kind: AnswerKind, now: number): Taken | undefined {
    const taken = this.taken.get(shortOf(token)) ?? this.toldHere.get(shortOf(token));
    return taken !== undefined && taken.kind === kind && taken.until > now ? taken : undefined;
  }

  /** These answers were confirmed; a confirmation to another node (`isFar`) may be lost. */
  told(tokens: readonly string[], isFar: boolean, now: number): void {
    for (const token of tokens) {
      const short = shortOf(token);
      const taken = this.taken.get(short);
      if (taken === undefined) continue;
      taken.until = Math.min(taken.until, now + KEPT_MS);
      if (isFar) continue;
      this.taken.delete(short);
      put(this.toldHere, short, taken, this.most);
    }
  }

  /** The state that {@link restore} reads. */
  record(now: number): [token: string, kind: AnswerKind][] {
    const kept: [string, AnswerKind][] = [];
    for (const [token, { kind, until }] of this.taken) {
      if (until > now) kept.push([token, kind]);
      else this.taken.delete(token);
    }
    return kept;
  }

  /** Restores the recorded answers; they may be repeated for the full time again. */
  restore(record: readonly (readonly [token: string, kind: AnswerKind])[], now: number): void {
    for (const [token, kind] of record) this.taken.set(token, { kind, answerer: null, until: now + KEPT_MS });
  }
}

/** Adds to a map, and removes the oldest entries beyond `most`. */
function put(map: Map<string, Taken>, token: string, taken: Taken, most: number): void {
  map.set(token, taken);
  for (const oldest of map.keys()) {
    if (map.size <= most) return;
    map.delete(oldest);
  }
}

/** Tokens begin with the id of their group, and a dot. */
function shortOf(token: string): string {
  return token.slice(token.indexOf('.') + 1);
}
