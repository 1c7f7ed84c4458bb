import type { JsonObject } from '@arqonbus/protocol';
import type { FieldFacts } from './fields.ts';
import { descend, type PathNode } from './paths.ts';
import { isCredentialLike, isPlaceholder } from './plausibility.ts';
import type { Policy } from './policy.ts';
import { REDACTED } from './redaction.ts';
import { TextBudget } from './text-budget.ts';

/** Deeper values are not inspected but refused; the protocol allows 64 levels. */
const MAX_DEPTH = 1_000;

const NO_NODES: readonly PathNode[] = [];

export interface ExaminationOptions {
  /** Whether the payload may be longer than `max_inspect_bytes`. */
  readonly partial: boolean;
  /** For those who only watch: what was not inspected is not shown either. */
  readonly hideRest: boolean;
  /** Members of the payload itself that are not inspected; `*` stands for all. */
  readonly exempt: ReadonlySet<string> | undefined;
  /** Told of every match and of where it is, as a path of names and indexes that is only valid during the call. */
  readonly onMatch?: (rule: string, path: readonly (string | number)[]) => void;
}

/**
 * One walk over a payload: collects the rules that match and makes the redacted copy, which shares with the original
 * all that was not redacted. The original is never changed.
 */
export class Examination {
  /** Ids of the rules that matched, in the order of discovery. */
  readonly rules: string[] = [];
  /** Whether content matched: a secret rule, a sensitive name or a pattern. */
  secret = false;
  readonly #policy: Policy;
  readonly #options: ExaminationOptions;
  readonly #texts: TextBudget;
  readonly #trail: (string | number)[] = [];
  readonly #onRule = (rule: string): void => {
    this.secret = true;
    this.#found(rule);
  };

  constructor(policy: Policy, options: ExaminationOptions) {
    this.#policy = policy;
    this.#options = options;
    this.#texts = new TextBudget(
      policy.text,
      policy.settings.max_inspect_bytes,
      options.partial,
      options.hideRest,
      this.#onRule,
    );
  }

  /** The redacted payload: the very same object if there was nothing to redact. */
  run(payload: JsonObject): JsonObject {
    const { exempt } = this.#options;
    if (exempt?.has('*')) return payload;
    const { root } = this.#policy.paths;
    return this.#object(payload, root === undefined ? NO_NODES : [root], 1, exempt);
  }

  #object(object: JsonObject, nodes: readonly PathNode[], depth: number, exempt?: ReadonlySet<string>): JsonObject {
    if (depth > MAX_DEPTH) throw new RangeError('The payload is nested too deeply to inspect.');
    let copy: JsonObject | undefined;
    for (const key of Object.keys(object)) {
      if (exempt?.has(key)) continue;
      const value = object[key];
      const facts = this.#policy.fields.of(key);
      this.#texts.spend(key);
      const below = nodes.length === 0 ? nodes : descend(nodes, facts.lowerCase);
      this.#trail.push(key);
      const next = this.#member(value, facts, below, depth, facts.path ?? pathOf(below));
      this.#trail.pop();
      if (next === value) continue;
      // fromEntries defines members, so that a "__proto__" stays one; assigning would set the prototype.
      copy ??= Object.fromEntries(Object.entries(object));
      Object.defineProperty(copy, key, { value: next, enumerable: true, writable: true, configurable: true });
    }
    return copy ?? object;
  }

  #array(array: readonly unknown[], facts: FieldFacts, nodes: readonly PathNode[], depth: number): readonly unknown[] {
    if (depth > MAX_DEPTH) throw new RangeError('The payload is nested too deeply to inspect.');
    let copy: unknown[] | undefined;
    for (let i = 0; i < array.length; i++) {
      const value = array[i];
      const below = nodes.length === 0 ? nodes : descend(nodes, String(i));
      this.#trail.push(i);
      // The strings of a list under a sensitive name are as sensitive as a single one there.
      const next = this.#member(value, facts, below, depth, pathOf(below));
      this.#trail.pop();
      if (next === value) continue;
      copy ??= [...array];
      copy[i] = next;
    }
    return copy ?? array;
  }

  /** Examines a member or item; `path` is the redaction path that leads to it, if one does. */
  #member(
    value: unknown,
    facts: FieldFacts,
    nodes: readonly PathNode[],
    depth: number,
    path: string | undefined,
  ): unknown {
    if (path === undefined) return this.#value(value, facts, nodes, depth);
    // What it holds counts for the outcome, although it is redacted as a whole.
    this.#texts.aside(() => this.#value(value, facts, nodes, depth));
    if (value === REDACTED) return value;
    this.#found(`path:${path}`);
    return REDACTED;
  }

  #value(value: unknown, facts: FieldFacts, nodes: readonly PathNode[], depth: number): unknown {
    if (typeof value === 'string') return this.#string(value, facts);
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return this.#array(value, facts, nodes, depth + 1);
    return this.#object(value as JsonObject, nodes, depth + 1);
  }

  #string(text: string, facts: FieldFacts): string {
    if (facts.sensitivity === undefined) return this.#texts.inspect(text);
    if (this.#credential(text, facts)) return REDACTED;
    // What is left of a text can look like a credential where the whole did not.
    return this.#texts.inspect(text, (rest) => this.#credential(rest, facts));
  }

  #credential(text: string, { sensitivity, sensitiveName }: FieldFacts): boolean {
    if (sensitivity === 'certain' ? isPlaceholder(text) : !isCredentialLike(text)) return false;
    this.#onRule(`key:${sensitiveName}`);
    return true;
  }

  #found(rule: string): void {
    if (!this.rules.includes(rule)) this.rules.push(rule);
    this.#options.onMatch?.(rule, this.#trail);
  }
}

function pathOf(nodes: readonly PathNode[]): string | undefined {
  for (const { path } of nodes) if (path !== undefined) return path;
  return undefined;
}
