import { BusError } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Awaitable, KeyChange, KeySpace, KeyValueEntry, KeyValueStore } from './engine/engine.ts';
import type { Principal } from './principal.ts';

const SPACE = 'access';
const BLOCKS = 'block';
const REVOCATIONS = 'revoke';
const PAGE = 1_000;
/** Blocks and revocations of one tenant together. */
const MAX_ENTRIES = 10_000;
/** A revocation by time is dropped after this: no token of that age should still be valid. */
const REVOCATION_MS = 366 * 86_400_000;

/** A blocked subject. */
export interface Block {
  readonly subject: string;
  readonly reason: string;
  /** RFC 3339; null: until it is unblocked. */
  readonly until: string | null;
  readonly created_at: string;
  readonly created_by: string;
}

/** Revoked tokens: one by its id, or those of a subject issued before a time. */
export interface Revocation {
  readonly jti: string | null;
  readonly subject: string | null;
  /** RFC 3339; null with a `jti`. */
  readonly issued_before: string | null;
  readonly created_at: string;
  readonly created_by: string;
}

/** Why a principal is refused. */
export interface Barred {
  readonly status: 401 | 403;
  readonly reason: string;
}

interface Entries {
  readonly blocks: Map<string, Block>;
  /** By `jti:ID` or `sub:SUBJECT`. */
  readonly revocations: Map<string, Revocation>;
}

/**
 * The blocked subjects and revoked tokens of each tenant. It is stored in the key-value store and takes effect on every
 * node at once; {@link barred} is checked at the handshake, at every token refresh and for every HTTP request.
 */
export class AccessList {
  private readonly store: KeyValueStore;
  private readonly now: () => number;
  private readonly tenants: Map<string, Entries> = new Map();
  /** Called when an entry is added: connected clients may be barred now. */
  readonly added: Set<(tenant: string) => void> = new Set();

  constructor(store: KeyValueStore, now: () => number) {
    this.store = store;
    this.now = now;
  }

  /** Follows changes by other nodes; returns a function that stops it. */
  start(): () => void {
    return this.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Loads the stored entries; called again after a storage outage. */
  async load(): Promise<void> {
    for (const tenant of await this.store.tenants(SPACE)) {
      for (const namespace of [BLOCKS, REVOCATIONS]) await this.loadAll({ tenant, space: SPACE, namespace });
    }
  }

  /** Why a principal is refused now, or null when it is admitted. */
  barred({ tenant, subject, tokenId = null, issuedAt = null }: Principal): Barred | null {
    const entries = this.tenants.get(tenant);
    if (entries === undefined) return null;
    const { blocks, revocations } = entries;
    const block = subject === null ? undefined : blocks.get(subject);
    // The engine's clock expires the entry; until its notification arrives, this node's clock decides.
    if (block !== undefined && (block.until === null || Date.parse(block.until) > this.now())) {
      return { status: 403, reason: `blocked: ${block.reason}` };
    }
    const isRevoked =
      (tokenId !== null && revocations.has(`jti:${tokenId}`)) ||
      (subject !== null && isBefore(issuedAt, revocations.get(`sub:${subject}`)));
    return isRevoked ? { status: 401, reason: 'token revoked' } : null;
  }

  /** Blocks a subject until `until` (milliseconds since 1970), or until it is unblocked. */
  block(
    tenant: string,
    subject: string,
    given: { reason: string; until: number | null; by: string },
  ): Awaitable<Block> {
    const now = this.now();
    const block: Block = {
      subject,
      reason: given.reason,
      until: given.until === null ? null : new Date(given.until).toISOString(),
      created_at: new Date(now).toISOString(),
      created_by: given.by,
    };
    const ttlMs = given.until === null ? undefined : given.until - now;
    return andThen(this.put(tenant, BLOCKS, subject, block, ttlMs), () => block);
  }

  /** Unblocks a subject; false when it was not blocked. */
  async unblock(tenant: string, subject: string): Promise<boolean> {
    const outcome = await this.store.delete({ tenant, space: SPACE, namespace: BLOCKS }, subject);
    return outcome.ok && outcome.deleted;
  }

  /** Revokes a token, or all tokens of a subject issued before a time (milliseconds since 1970). */
  revoke(
    tenant: string,
    given: { jti: string } | { subject: string; issuedBefore: number },
    by: string,
  ): Awaitable<Revocation> {
    const revocation: Revocation = {
      jti: 'jti' in given ? given.jti : null,
      subject: 'jti' in given ? null : given.subject,
      issued_before: 'jti' in given ? null : new Date(given.issuedBefore).toISOString(),
      created_at: new Date(this.now()).toISOString(),
      created_by: by,
    };
    const key = 'jti' in given ? `jti:${given.jti}` : `sub:${given.subject}`;
    return andThen(this.put(tenant, REVOCATIONS, key, revocation, REVOCATION_MS), () => revocation);
  }

  /** All blocks and revocations of a tenant, each sorted by key. */
  list(tenant: string): { readonly blocks: readonly Block[]; readonly revocations: readonly Revocation[] } {
    const { blocks, revocations } = this.of(tenant);
    return { blocks: inOrder(blocks), revocations: inOrder(revocations) };
  }

  private put(tenant: string, namespace: string, key: string, value: object, ttlMs?: number): Awaitable<void> {
    const { blocks, revocations } = this.of(tenant);
    const isNew = !(namespace === BLOCKS ? blocks : revocations).has(key);
    if (isNew && blocks.size + revocations.size >= MAX_ENTRIES) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A tenant has at most ${MAX_ENTRIES} blocks and revocations; take some back.`,
        {
          limit: MAX_ENTRIES,
        },
      );
    }
    const at: KeySpace = { tenant, space: SPACE, namespace };
    const text = JSON.stringify(value);
    return andThen(this.store.set(at, key, text, ttlMs === undefined ? {} : { ttlMs }), () => {
      this.adopt(at, key, text);
    });
  }

  private async loadAll(at: KeySpace): Promise<void> {
    for (let after: string | undefined; ; ) {
      const page: KeyValueEntry[] = await this.store.list(at, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      for (const { key, value } of page) this.adopt(at, key, value);
      if (page.length < PAGE) return;
      after = page[page.length - 1]?.key;
    }
  }

  private follow({ at, key, value }: KeyChange): void {
    if (value !== null) this.adopt(at, key, value);
    else if (at.namespace === BLOCKS) this.of(at.tenant).blocks.delete(key);
    else this.of(at.tenant).revocations.delete(key);
  }

  private adopt({ tenant, namespace }: KeySpace, key: string, text: string): void {
    const { blocks, revocations } = this.of(tenant);
    if (namespace === BLOCKS) blocks.set(key, JSON.parse(text) as Block);
    else revocations.set(key, JSON.parse(text) as Revocation);
    for (const listener of this.added) listener(tenant);
  }

  private of(tenant: string): Entries {
    let entries = this.tenants.get(tenant);
    if (entries === undefined) {
      entries = { blocks: new Map(), revocations: new Map() };
      this.tenants.set(tenant, entries);
    }
    return entries;
  }
}

/** A token without an issue time counts as older than any time. */
function isBefore(issuedAt: number | null, revocation: Revocation | undefined): boolean {
  if (revocation === undefined || revocation.issued_before === null) return false;
  return issuedAt === null || issuedAt < Date.parse(revocation.issued_before);
}

function inOrder<T>(entries: ReadonlyMap<string, T>): T[] {
  return [...entries].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => value);
}
