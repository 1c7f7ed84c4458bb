import type { MatchSink, Searcher } from './automaton/searcher.ts';
import { isRedacted, type Part, REDACTED, redactParts, tokensIn } from './redaction.ts';
import type { SecretRule } from './rules/rule.ts';
import { type OnSecret, SECRET_RULES, type SecretDetector, secretDetector } from './secrets.ts';

/** With more parts to redact in one text, it is redacted as a whole, since the rest would be unreadable. */
const MAX_PARTS = 1_024;
/** Redacting can create a new match; after this many rounds the whole string is redacted. */
const MAX_ROUNDS = 4;

/** A part that may still be extended. */
type OpenPart = { -readonly [K in keyof Part]: Part[K] };
/** Never modified: a clean text needs no list of its own. */
const NO_PARTS: OpenPart[] = [];

const SECRET_IDS: ReadonlyMap<SecretRule, string> = new Map(SECRET_RULES.map((rule) => [rule, `secret:${rule.id}`]));

/** Called with the id of every matching rule, possibly repeatedly. */
export type OnRule = (rule: string) => void;

/** Finds and redacts matches of the secret rules and a policy's own patterns in single strings. */
export class TextInspector implements MatchSink {
  readonly #patterns: Searcher | undefined;
  #secrets: SecretDetector | undefined;
  readonly #onSecret: OnSecret = (rule, start, end) => this.#found(SECRET_IDS.get(rule)!, start, end);
  /** Pattern → its rule id, cached because a text can match thousands of times. */
  readonly #patternIds: string[] = [];
  /** The state for the current string; stored here so that inspecting a clean one allocates nothing. */
  #text = '';
  #tokens: readonly Part[] | undefined;
  #parts: OpenPart[] = NO_PARTS;
  #onRule: OnRule = ignore;

  constructor(patterns: Searcher | undefined) {
    this.#patterns = patterns;
  }

  /**
   * Inspects `text` up to the index `length`. Returns the same string if nothing matched; otherwise the text without
   * the matches, and without everything after `length`, which was not inspected. The result is stable: inspecting it
   * again finds no match.
   */
  inspect(text: string, length: number, onRule: OnRule): string {
    const redacted = this.#redact(text, length, onRule);
    return redacted === text ? text : this.settle(redacted, onRule);
  }

  /** Redacts a partly redacted text until nothing in it matches. */
  settle(text: string, onRule: OnRule): string {
    let current = text;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const next = this.#redact(current, current.length, onRule);
      if (next === current) return current;
      current = next;
    }
    return REDACTED;
  }

  /** Searches only for secret formats, not for the policy's patterns. */
  findSecrets(text: string, onRule: OnRule): void {
    this.#begin(text, onRule);
    this.#detector().detect(text, text.length, this.#onSecret);
    this.#end();
  }

  /** @internal */
  admits(): boolean {
    return true;
  }

  /** @internal */
  match(index: number, from: number, end: number): boolean {
    let id = this.#patternIds[index];
    if (id === undefined) {
      id = `pattern:${index}`;
      this.#patternIds[index] = id;
    }
    return this.#found(id, from, end);
  }

  #redact(text: string, length: number, onRule: OnRule): string {
    if (text === REDACTED) return text;
    this.#begin(text, onRule);
    this.#detector().detect(text, length, this.#onSecret);
    if (this.#parts.length <= MAX_PARTS) this.#patterns?.search(text, length, this);
    const parts = this.#parts;
    const tokens = this.#tokens;
    this.#end();
    if (parts.length === 0) return text;
    if (parts.length > MAX_PARTS) return REDACTED;
    if (length < text.length) parts.push({ start: length, end: text.length });
    return redactParts(text, parts, tokens);
  }

  #begin(text: string, onRule: OnRule): void {
    this.#text = text;
    this.#onRule = onRule;
    // Clears the remains of a failed inspection.
    this.#parts = NO_PARTS;
    this.#tokens = undefined;
  }

  /** An inspector lives as long as its policy and must not retain the text. */
  #end(): void {
    this.#text = '';
    this.#onRule = ignore;
    this.#parts = NO_PARTS;
    this.#tokens = undefined;
  }

  #detector(): SecretDetector {
    this.#secrets ??= secretDetector();
    return this.#secrets;
  }

  /** Records a part to redact; false if there are too many. */
  #found(rule: string, start: number, end: number): boolean {
    this.#tokens ??= tokensIn(this.#text);
    if (isRedacted(this.#tokens, start, end)) return true;
    this.#onRule(rule);
    const last = this.#parts.at(-1);
    // Matches are mostly in order; adjacent ones are merged.
    if (last !== undefined && last.start <= start && start <= last.end) last.end = Math.max(last.end, end);
    else if (this.#parts === NO_PARTS) this.#parts = [{ start, end }];
    else this.#parts.push({ start, end });
    return this.#parts.length <= MAX_PARTS;
  }
}

function ignore(): void {}
