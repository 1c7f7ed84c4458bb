import type { KeySpace, KeyValueStore } from '../engine/engine.ts';

/** UTF-16 units of one part: a growing text rewrites only its last part. */
const PART = 16_384;
/** Parts read at a time; the longest text has few more. */
const PAGE = 100;

/** The texts of open streams, in parts in the key-value store. */
export class TextStore {
  private readonly store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.store = store;
  }

  /** Writes a text beyond `kept`, the length written before. */
  async write(tenant: string, id: string, text: string, kept: number): Promise<void> {
    for (let at = Math.floor(kept / PART); at * PART < text.length; at += 1) {
      const part = text.slice(at * PART, (at + 1) * PART);
      await this.store.set(spaceOf(tenant, id), keyOf(at), JSON.stringify(part));
    }
  }

  async read(tenant: string, id: string): Promise<string> {
    const parts = await this.parts(tenant, id);
    return parts.map(({ value }) => JSON.parse(value) as string).join('');
  }

  async remove(tenant: string, id: string): Promise<void> {
    for (const { key } of await this.parts(tenant, id)) await this.store.delete(spaceOf(tenant, id), key);
  }

  private async parts(tenant: string, id: string): Promise<{ readonly key: string; readonly value: string }[]> {
    const all: { readonly key: string; readonly value: string }[] = [];
    for (;;) {
      const after = all.at(-1)?.key;
      const page = await this.store.list(spaceOf(tenant, id), { limit: PAGE, ...(after !== undefined && { after }) });
      all.push(...page);
      if (page.length < PAGE) return all;
    }
  }
}

function spaceOf(tenant: string, id: string): KeySpace {
  return { tenant, space: 'stream_text', namespace: id };
}

/** Keys sort in the order of their numbers. */
function keyOf(part: number): string {
  return String(part).padStart(6, '0');
}
