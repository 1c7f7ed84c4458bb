import type { SenderRecord } from '@arqonbus/protocol';
import type { KeySpace, KeyValueStore } from '../../engine/engine.ts';
import type { Who } from './lifecycle.ts';

const SPACE = 'webhook_present';
const PAGE = 500;

/** Somebody of whom a rule has told that it is there; of an occupied channel the one who came first. */
export interface Fact extends Who {
  /** A hash of who that is beyond one connection: the name itself may be a secret of the client's. */
  readonly identity?: string;
  readonly sender?: SenderRecord;
}

/**
 * What a durable rule has told of who is there, in the key-value store: whichever node tells next compares it with who is
 * there then. Its keys are addresses of occupied channels, and an address with a client id for each member.
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

/** Under which key a member is; without a client id, the occupied channel. Addresses hold no space. */
export function factKey(address: string, clientId?: string): string {
  return clientId === undefined ? address : `${address} ${clientId}`;
}

/** Takes {@link factKey} apart. */
export function factOf(key: string): { readonly address: string; readonly clientId: string | null } {
  const space = key.indexOf(' ');
  return space < 0
    ? { address: key, clientId: null }
    : { address: key.slice(0, space), clientId: key.slice(space + 1) };
}
