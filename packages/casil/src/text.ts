import type { MatchSink, Searcher } from './automaton/searcher.ts';
import { isRedacted, type Part, REDACTED, redactParts, tokensIn } from './redaction.ts';
import type { SecretRule } from './rules/rule.ts';
import { type OnSecret, SECRET_RULES, type SecretDetector, secretDetector } from './secrets.ts';

/** More parts to redact than this in one text, and it is redacted as a whole; nobody could read what is left. */
const MAX_PARTS = 1_024;
/** Redacting can bring a new match about; after so many rounds the whole string goes. */
const MAX_ROUNDS = 4;

/** A part that may still grow. */
type OpenPart = { -readonly [K in keyof Part]: Part[K] };
/** Never written to: a clean text needs no list of its own. */
const NO_PARTS: OpenPart[] = [];

const SECRET_IDS: ReadonlyMap<SecretRule, string> = new Map(SECRET_RULES.map((rule) => [rule, `secret:${rule.id}`]));

/** Told the id of every rule that matches, once or more often. */
export type OnRule = (rule: string) => void;

/** Finds and redacts, in single strings, what the secret rules and a policy's own patterns match. */
export class TextInspector implements MatchSink {
  readonly #patterns: Searcher | undefined;
  #secrets: SecretDetector | undefined;
  readonly #onSecret: OnSecret = (rule, start, end) => this.#found(SECRET_IDS.get(rule)!, start, end);
  /** Pattern → its rule id: a text can match thousands of times. */
  readonly #patternIds: string[] = [];
  /** What the string at hand holds; kept here so that inspecting a clean one allocates nothing. */
  #text = '';
  #tokens: readonly Part[] | undefined;
  #parts: OpenPart[] = NO_PARTS;
  #onRule: OnRule = ignore;

  constructor(patterns: Searcher | undefined) {
    this.#patterns = patterns;
  }

  /**
   * Inspects `text` up to the index `length`. Returns the very same string when nothing matched; else the text without
   * the matches, and without all that comes after `length`, since it is not known. What is returned is settled:
   * inspected as a whole it holds no further match.
   */
  inspect(text: string, length: number, onRule: OnRule): string {
    const redacted = this.#redact(text, length, onRule);
    return redacted === text ? text : this.settle(redacted, onRule);
  }

  /** Redacts a text, of which parts are redacted already, until nothing in it matches. */
  settle(text: string, onRule: OnRule): string {
    let current = text;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const next = this.#redact(current, current.length, onRule);
      if (next === current) return current;
      current = next;
    }
    return REDACTED;
  }

  /** Looks for the shapes of secrets alone, not for the policy's patterns. */
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
    // Whatever an inspection that failed has left behind.
    this.#parts = NO_PARTS;
    this.#tokens = undefined;
  }

  /** An inspector lives as long as its policy; the text must not. */
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

  /** Notes a part to redact; false when there are too many. */
  #found(rule: string, start: number, end: number): boolean {
    this.#tokens ??= tokensIn(this.#text);
    if (isRedacted(this.#tokens, start, end)) return true;
    this.#onRule(rule);
    const last = this.#parts.at(-1);
    // Matches come in order more often than not; what touches need not be kept apart.
    if (last !== undefined && last.start <= start && start <= last.end) last.end = Math.max(last.end, end);
    else if (this.#parts === NO_PARTS) this.#parts = [{ start, end }];
    else this.#parts.push({ start, end });
    return this.#parts.length <= MAX_PARTS;
  }
}

function ignore(): void {}
