import { type Sensitivity, sensitiveName } from './keys.ts';
import type { RedactionPaths } from './paths.ts';

/** Names repeat; those a hostile client makes up must not fill the memory. */
const MAX_REMEMBERED = 4_096;
const MAX_REMEMBERED_LENGTH = 64;

/** What a policy knows of a field by its name alone. */
export interface FieldFacts {
  readonly lowerCase: string;
  /** The redaction path that names it at any depth, as written. */
  readonly path: string | undefined;
  readonly sensitivity: Sensitivity | undefined;
  /** What to call it in a rule id when it is sensitive. */
  readonly sensitiveName: string;
}

/** Looks fields up by name, remembering what it found. */
export class Fields {
  readonly #paths: RedactionPaths;
  readonly #known = new Map<string, FieldFacts>();

  constructor(paths: RedactionPaths) {
    this.#paths = paths;
  }

  of(key: string): FieldFacts {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const lowerCase = key.toLowerCase();
    const sensitive = sensitiveName(key);
    const facts: FieldFacts = {
      lowerCase,
      path: this.#paths.names.get(lowerCase),
      sensitivity: sensitive?.sensitivity,
      sensitiveName: sensitive?.name ?? '',
    };
    if (key.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
      this.#known.set(key, facts);
    }
    return facts;
  }
}
