import { MAX_REMEMBERED_LENGTH } from './fields.ts';
import { isRedactedName, REDACTED, redactParts, tokensIn } from './redaction.ts';
import type { OnRule, TextInspector } from './text.ts';

/** Redacting frees budget for more of the payload, and tokens are free; this limits the total work. */
const WORK_FACTOR = 4;
/** At most one match per this many bytes of the budget; beyond that, everything that follows is redacted. */
const BYTES_PER_MATCH = 32;
const LEAST_MATCHES = 256;

/**
 * Inspects the strings and names of one message up to a budget in bytes.
 *
 * The budget is charged for the output, not the input, and the work is limited for both. So inspecting a redacted
 * payload again spends the same at every place, stops at the same point and changes nothing.
 */
export class TextBudget {
  readonly #inspector: TextInspector;
  readonly #limited: boolean;
  readonly #hideRest: boolean;
  /** Maximum UTF-16 units to read, and to write. */
  readonly #most: number;
  readonly #mostMatches: number;
  readonly #onRule: OnRule;
  #left: number;
  #matches = 0;
  #read = 0;
  #written = 0;

  /**
   * @param bytes the budget
   * @param limited whether the payload may exceed the budget; otherwise it is not counted
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

  /** Charges a field's name as it is output. */
  spend(name: string): void {
    if (this.#limited) this.#left -= bytesOf(name);
  }

  /**
   * Whether a field's name matches and must be redacted.
   *
   * @param rules the rules that match it, if it is short enough to be cached
   */
  matchesName(name: string, rules: readonly string[]): boolean {
    if (isRedactedName(name)) return false;
    if (this.#limited && this.#left <= 0) return this.#hideRest;
    // Regardless of earlier matches: a payload without its names is useless.
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

  /** Searches only for secret formats, in a text that is output unchanged. */
  findSecrets(text: string): void {
    if (this.#isSpent()) return;
    this.#count(text);
    this.#inspector.findSecrets(text, this.#onRule);
  }

  /** Charges the work for a text that is output unchanged; it costs the same when the result is inspected again. */
  #count(text: string): void {
    this.#read += text.length;
    this.#written += text.length;
  }

  /** Runs something whose texts are not output. */
  aside(run: () => void): void {
    const left = this.#left;
    const written = this.#written;
    run();
    this.#left = left;
    this.#written = written;
  }

  /**
   * The text to output: the same string if nothing was redacted.
   *
   * @param discard called if something was redacted: whether to redact the rest too
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

  /** Whether the work limit is exceeded: everything else then counts as a match. */
  #isSpent(): boolean {
    return this.#read > this.#most || this.#written > this.#most || this.#matches > this.#mostMatches;
  }
}

/** UTF-8 bytes of a text without its tokens. */
function bytesOf(text: string): number {
  return Buffer.byteLength(text) - tokensIn(text).length * REDACTED.length;
}

/** The index up to which the text fits into `room` bytes, not counting tokens. */
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
