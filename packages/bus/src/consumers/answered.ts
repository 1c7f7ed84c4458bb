/** What a member says of the events that it holds. */
export type AnswerKind = 'ack' | 'nack' | 'extend' | 'reject';

/** How long an answer that was written may be asked for again, in milliseconds. */
const KEPT_MS = 60_000;
/** Answers that are kept at least; a group that may have more events out keeps as many. */
const LEAST_KEPT = 256;

/** Who gave an answer, and over which connection. */
export interface Answerer {
  /** The subject; null: none. */
  readonly by: string | null;
  /** The connection; null: a request of its own. Undefined: a part of this program, which is always told. */
  readonly via?: string | null | undefined;
}

interface Taken {
  readonly kind: AnswerKind;
  /** Who gave it last; null where only the record knows of it. */
  answerer: Answerer | null;
  /** Until when it is kept, by the clock that is told; for ever while it is not known to be written. */
  until: number;
}

/**
 * Answers of members that were taken, while those who gave them may not know it: a write may be made and its outcome be
 * lost, with the line to the storage, to a node or to the client. Their leases are over by then; given again, they are
 * done, not lost.
 */
export class AnsweredTokens {
  /** By token without the group's id; the oldest first. Recorded. */
  private readonly taken: Map<string, Taken> = new Map();
  /** What this node has told its own clients, whose lines may have broken then. Not recorded: no write may cost more for it. */
  private readonly toldHere: Map<string, Taken> = new Map();
  /** How many of each are kept. */
  private most = LEAST_KEPT;

  get size(): number {
    return this.taken.size;
  }

  /** @param mostOut events that may be out at the same time */
  add(token: string, kind: AnswerKind, mostOut: number, answerer: Answerer): void {
    this.most = Math.max(LEAST_KEPT, mostOut);
    put(this.taken, shortOf(token), { kind, answerer, until: Number.POSITIVE_INFINITY }, this.most);
  }

  /**
   * Whether an answer is one that was taken before and whose giver may not have been told; it is noted then.
   *
   * @param isAgain whether its giver says so
   */
  takesAgain(token: string, kind: AnswerKind, answerer: Answerer, isAgain: boolean, now: number): boolean {
    const isKnown = isAgain ? this.has(token, kind, now) : this.hasOverAnother(token, kind, answerer, now);
    if (isKnown) this.givenAgain(token, answerer);
    return isKnown;
  }

  /** Whether this very answer was taken, for whoever may not have been told. */
  has(token: string, kind: AnswerKind, now: number): boolean {
    return this.find(token, kind, now) !== undefined;
  }

  /** Whether the same answerer gave this very answer over another line before: that one may have broken. */
  hasOverAnother(token: string, kind: AnswerKind, { by, via }: Answerer, now: number): boolean {
    const taken = this.find(token, kind, now);
    if (taken === undefined || via === undefined) return false;
    const { answerer } = taken;
    return answerer === null || (answerer.by === by && (via === null || answerer.via !== via));
  }

  /** It was given again. */
  givenAgain(token: string, answerer: Answerer): void {
    const taken = this.taken.get(shortOf(token)) ?? this.toldHere.get(shortOf(token));
    if (taken !== undefined) taken.answerer = answerer;
  }

  private find(token: string, kind: AnswerKind, now: number): Taken | undefined {
    const taken = this.taken.get(shortOf(token)) ?? this.toldHere.get(shortOf(token));
    return taken !== undefined && taken.kind === kind && taken.until > now ? taken : undefined;
  }

  /** Those who gave these answers are told; what is told to another node (`isFar`) may be lost on its way. */
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
    for (const [token, kind] of record) this.taken.set(token, { kind, answerer: null, until: now + KEPT_MS });
  }
}

/** Adds to a map of which the oldest go. */
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
