import { type Sensitivity, sensitiveName } from './keys.ts';
import type { RedactionPaths } from './paths.ts';
import { isRedactedName } from './redaction.ts';
import type { TextInspector } from './text.ts';

/** Maximum length of cached names. Also the maximum for checking a name without charging the text budget. */
export const MAX_REMEMBERED_LENGTH = 64;

/** What a policy derives from a field's name alone. */
export interface FieldFacts {
  readonly lowerCase: string;
  /** The redaction path that matches it at any depth, as written. */
  readonly path: string | undefined;
  readonly sensitivity: Sensitivity | undefined;
  /** Its name in a rule id if it is sensitive. */
  readonly sensitiveName: string;
  /** Ids of the rules that match the name itself; only for names up to {@link MAX_REMEMBERED_LENGTH}. */
  readonly rules: readonly string[];
}

const NO_RULES: readonly string[] = Object.freeze([]);

/** Looks up fields by name, with a cache. */
export class Fields {
  readonly #paths: RedactionPaths;
  readonly #text: TextInspector;
  readonly #capacity: number;
  readonly #known = new Map<string, FieldFacts>();

  /** @param capacity maximum cached names: names repeat, but a hostile client must not fill the memory */
  constructor(paths: RedactionPaths, text: TextInspector, capacity: number) {
    this.#paths = paths;
    this.#text = text;
    this.#capacity = capacity;
  }

  of(name: string): FieldFacts {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const lowerCase = name.toLowerCase();
    const sensitive = sensitiveName(name);
    const facts: FieldFacts = {
      lowerCase,
      path: this.#paths.names.get(lowerCase),
      sensitivity: sensitive?.sensitivity,
      sensitiveName: sensitive?.name ?? '',
      rules: name.length <= MAX_REMEMBERED_LENGTH ? rulesIn(name, this.#text) : NO_RULES,
    };
    if (name.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#known.size >= this.#capacity) this.#known.clear();
      this.#known.set(name, facts);
    }
    return facts;
  }
}

/** Ids of the rules that match a short text. */
export function rulesIn(text: string, inspector: TextInspector): readonly string[] {
  if (isRedactedName(text)) return NO_RULES;
  const rules = new Set<string>();
  inspector.inspect(text, text.length, (rule) => rules.add(rule));
  return rules.size === 0 ? NO_RULES : [...rules];
}
