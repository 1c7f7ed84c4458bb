import type { SenderRecord } from '@arqonbus/protocol';
import type { KeySpace, KeyValueStore } from '../../engine/engine.ts';
import type { Who } from './lifecycle.ts';

const SPACE = 'webhook_present';
const PAGE = 500;

/** A member reported as present; for an occupied channel, the first one. */
export interface Fact extends Who {
  /** A hash of the identity, which is stable across connections; the identity itself may be a client's secret. */
  readonly identity?: string;
  readonly sender?: SenderRecord;
}

/**
 * What a durable rule has reported as present, in the key-value store: the next reporting node compares it with the
 * members present. Keys are addresses of occupied channels, and an address with a client id for each member.
 */
export class Facts {
  private readonly store: KeyValueStore;
  private readonly at: KeySpace;

  constructor(store: KeyValueStore, tenant: string, ruleId: string) {
    this.store = store;
    this.at = { tenant, space: SPACE, namespace: ruleId };
  }

  async load(): Promise<Map<string, Fact>> {
    const found = new Map<string, Fact>();
    for (let after: string | undefined; ; ) {
      const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const entries = await this.store.list(this.at, query);
      for (const { key, value } of entries) found.set(key, JSON.parse(value) as Fact);
      if (entries.length < PAGE) return found;
      after = entries[entries.length - 1]?.key;
    }
  }

  async put(key: string, fact: Fact): Promise<void> {
    await this.store.set(this.at, key, JSON.stringify(fact));
  }

  async remove(key: string): Promise<void> {
    await this.store.delete(this.at, key);
  }

  async clear(): Promise<void> {
    for (const key of (await this.load()).keys()) await this.remove(key);
  }
}

/** The key of a member or, without a client id, of the occupied channel. Addresses contain no space. */
export function factKey(address: string, clientId?: string): string {
  return clientId === undefined ? address : `${address} ${clientId}`;
}

/** Parses a {@link factKey}. */
export function factOf(key: string): { readonly address: string; readonly clientId: string | null } {
  const space = key.indexOf(' ');
  return space < 0
    ? { address: key, clientId: null }
    : { address: key.slice(0, space), clientId: key.slice(space + 1) };
}
