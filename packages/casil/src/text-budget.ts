import { MAX_REMEMBERED_LENGTH } from './fields.ts';
import { isRedactedName, REDACTED, redactParts, tokensIn } from './redaction.ts';
import type { OnRule, TextInspector } from './text.ts';

/** Redacting makes room for more of the payload, and tokens cost none; but no more than this is read or written. */
const WORK_FACTOR = 4;
/** One match in so many bytes of the budget is as many as are told apart; with more, all that follows is redacted. */
const BYTES_PER_MATCH = 32;
const LEAST_MATCHES = 256;

/**
 * Inspects the strings and names of one message, as many bytes of them as the budget allows.
 *
 * The budget is spent by what comes out, not by what goes in, and the work is bounded for both alike. So a redacted
 * payload, inspected again, spends the same at every place, is inspected to the same point and comes out as it is.
 */
export class TextBudget {
  readonly #inspector: TextInspector;
  readonly #limited: boolean;
  readonly #hideRest: boolean;
  /** Most UTF-16 units to read, and to write. */
  readonly #most: number;
  readonly #mostMatches: number;
  readonly #onRule: OnRule;
  #left: number;
  #matches = 0;
  #read = 0;
  #written = 0;

  /**
   * @param bytes the budget
   * @param limited whether the payload may be longer than the budget; else it is not counted
   * @param hideRest redact what is not inspected
   */
  constructor(inspector: TextInspector, bytes: number, limited: boolean, hideRest: boolean, onRule: OnRule) {
    this.#inspector = inspector;
    this.#mostMatches = Math.max(LEAST_MATCHES, bytes / BYTES_PER_MATCH);
    this.#onRule = (rule) => {
      this.#matches++;
      onRule(rule);
    };
    this.#limited = limited;
    this.#hideRest = hideRest;
    this.#left = bytes;
    this.#most = bytes * WORK_FACTOR;
  }

  /** Counts a field's name as it comes out. */
  spend(name: string): void {
    if (this.#limited) this.#left -= bytesOf(name);
  }

  /**
   * Whether something in a field's name matches, so that the name must not come out.
   *
   * @param rules those that match in it, when it is short enough to have been judged beforehand
   */
  matchesName(name: string, rules: readonly string[]): boolean {
    if (isRedactedName(name)) return false;
    if (this.#limited && this.#left <= 0) return this.#hideRest;
    // However much has matched before: without its names a payload is of no use to anybody.
    if (this.#read > this.#most || this.#written > this.#most) return true;
    if (name.length <= MAX_REMEMBERED_LENGTH) {
      this.#count(name);
      for (const rule of rules) this.#onRule(rule);
      return rules.length > 0;
    }
    let matches = false;
    this.aside(() => {
      matches = this.inspect(name) !== name;
    });
    return matches;
  }

  /** Looks for the shapes of secrets alone in a text that comes out as it is. */
  findSecrets(text: string): void {
    if (this.#isSpent()) return;
    this.#count(text);
    this.#inspector.findSecrets(text, this.#onRule);
  }

  /** Counts the work for a text that comes out as it is; it counts as much when the result is inspected again. */
  #count(text: string): void {
    this.#read += text.length;
    this.#written += text.length;
  }

  /** Runs something whose texts will not come out. */
  aside(run: () => void): void {
    const left = this.#left;
    const written = this.#written;
    run();
    this.#left = left;
    this.#written = written;
  }

  /**
   * What of the text may come out: the very same string when nothing was redacted.
   *
   * @param discard asked, when something was redacted, whether the rest must go too
   */
  inspect(text: string, discard?: (rest: string) => boolean): string {
    if (text === '' || text === REDACTED) return text;
    if (this.#limited && this.#left <= 0) return this.#hideRest ? REDACTED : text;
    if (this.#isSpent()) return REDACTED;
    const length = this.#limited ? cut(text, this.#left) : text.length;
    this.#read += length;
    let next = this.#inspector.inspect(text, length, this.#onRule);
    if (next === text && length < text.length && this.#hideRest) {
      next = this.#inspector.settle(redactParts(text, [{ start: length, end: text.length }]), this.#onRule);
    }
    if (next !== text && discard?.(next)) return REDACTED;
    if (next === REDACTED) return next;
    this.#written += next.length;
    if (this.#limited) this.#left -= bytesOf(next);
    return next;
  }

  /** Whether there was so much work that the rest is not worth the time: it is taken for a match. */
  #isSpent(): boolean {
    return this.#read > this.#most || this.#written > this.#most || this.#matches > this.#mostMatches;
  }
}

/** UTF-8 bytes of a text but for the tokens in it. */
function bytesOf(text: string): number {
  return Buffer.byteLength(text) - tokensIn(text).length * REDACTED.length;
}

/** Up to which index the text is within `room` bytes, tokens not counted. */
function cut(text: string, room: number): number {
  if (bytesOf(text) <= room) return text.length;
  const tokens = tokensIn(text);
  let token = 0;
  let bytes = 0;
  let length = 0;
  while (length < text.length) {
    if (tokens[token]?.start === length) {
      length = tokens[token++]!.end;
      continue;
    }
    const codePoint = text.codePointAt(length)!;
    bytes += codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
    if (bytes > room) break;
    length += codePoint < 0x10000 ? 1 : 2;
  }
  return length;
}
