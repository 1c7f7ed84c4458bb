import type { KeySpace, KeyValueStore } from '../../engine/engine.ts';
import type { Letter, LetterStore } from './dead-letters.ts';
import type { Rule } from './rule.ts';

const SPACE = 'webhook_dead';
const PAGE = 500;

/** Tells letters of equal time apart, so that they come back in the order they were given up in. */
interface StoredLetter extends Letter {
  readonly order: number;
}

/** A durable rule's dead letters in the key-value store. The one who removes a letter may deliver it again. */
export class KeptLetters implements LetterStore {
  private readonly store: KeyValueStore;
  private readonly at: KeySpace;
  private order = 0;

  constructor(store: KeyValueStore, rule: Rule) {
    this.store = store;
    this.at = { tenant: rule.tenant, space: SPACE, namespace: rule.id };
  }

  async save(letter: Letter): Promise<void> {
    this.order = Math.max(this.order + 1, Date.parse(letter.failedAt));
    const stored: StoredLetter = { ...letter, order: this.order };
    await this.store.set(this.at, letter.id, JSON.stringify(stored));
  }

  async remove(id: string): Promise<boolean> {
    const outcome = await this.store.delete(this.at, id);
    return outcome.ok && outcome.deleted;
  }

  /** All of them, oldest first. */
  async load(): Promise<Letter[]> {
    const found: StoredLetter[] = [];
    for (let after: string | undefined; ; ) {
      const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const entries = await this.store.list(this.at, query);
      for (const { value } of entries) found.push(JSON.parse(value) as StoredLetter);
      if (entries.length < PAGE) break;
      after = entries[entries.length - 1]?.key;
    }
    return found.sort((one, other) => one.order - other.order);
  }

  /** The rule is gone: so are they. */
  async clear(): Promise<void> {
    for (const { id } of await this.load()) await this.store.delete(this.at, id);
  }
}

/** Follows the letters that any node keeps or removes; returns the way to stop. */
export function watchLetters(
  store: KeyValueStore,
  onKept: (tenant: string, ruleId: string, letter: Letter) => void,
  onGone: (tenant: string, ruleId: string, id: string) => void,
): () => void {
  return store.watch(SPACE, ({ at, key, value }) => {
    if (value === null) onGone(at.tenant, at.namespace, key);
    else onKept(at.tenant, at.namespace, JSON.parse(value) as Letter);
  });
}
