import type {
  DeleteOutcome,
  KeyChange,
  KeySpace,
  KeyValueEntry,
  QuotaLimit,
  SetOutcome,
  StoreQuota,
} from '../engine.ts';
import { bytesOf, passedLimit, type Usage } from '../quota.ts';
import type { KeyOperation, KeyResult } from './calls.ts';
import type { Connection, Row } from './connection.ts';
import { endOfPrefix, fromSortKey, toSortKey } from './sort-keys.ts';

const SWEEP_KEYS = 500;

/** A key that is there, but for its value. */
interface Held {
  readonly version: number;
  readonly expiresAt: number | null;
  readonly bytes: number;
  /** As spelled in the table. */
  readonly owner: string | null;
}

/** The key–value store in the database. */
export class KeyTable {
  readonly #db: Connection;

  constructor(db: Connection) {
    this.#db = db;
  }

  get(at: KeySpace, key: string, now: number): KeyValueEntry | null {
    const [row] = this.#db.rows(
      `SELECT key, value, version, expires_at FROM keys
       WHERE space = ? AND tenant = ? AND namespace = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)`,
      ...[...placeOf(at), toSortKey(key), now],
    );
    return row === undefined ? null : entryOf(row);
  }

  list(at: KeySpace, prefix: string, after: string | undefined, limit: number, now: number): KeyValueEntry[] {
    const spelled = toSortKey(prefix);
    return this.#db
      .rows(
        `SELECT key, value, version, expires_at FROM keys
         WHERE space = ? AND tenant = ? AND namespace = ? AND key >= ? AND key < ? AND key > ?
           AND (expires_at IS NULL OR expires_at > ?)
         ORDER BY key LIMIT ?`,
        // Below every spelled key, the empty one included, there is no text to be after; the space comes before digits.
        ...[...placeOf(at), spelled, endOfPrefix(spelled), after === undefined ? ' ' : toSortKey(after), now, limit],
      )
      .map(entryOf);
  }

  tenants(space: string, now: number): string[] {
    return this.#db
      .rows('SELECT DISTINCT tenant FROM keys WHERE space = ? AND (expires_at IS NULL OR expires_at > ?)', space, now)
      .map((row) => row[0] as string);
  }

  apply(operation: KeyOperation, now: number): KeyResult {
    const { at, key } = operation;
    const changes: KeyChange[] = [];
    let current = this.#held(at, key);
    if (current !== null && current.expiresAt !== null && current.expiresAt <= now) {
      changes.push(this.#remove(at, key, 'expire', current));
      current = null;
    }
    const outcome =
      operation.kind === 'set'
        ? this.#set(operation, current, now, changes)
        : this.#delete(operation, current, changes);
    return { outcome, changes };
  }

  /** Deletes some of the keys that have expired. */
  sweep(now: number): KeyChange[] {
    return this.#db
      .rows(
        `SELECT version, expires_at, bytes, owner, space, tenant, namespace, key FROM keys
         WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
        ...[now, SWEEP_KEYS],
      )
      .map((row) => this.#expire(row));
  }

  #set(
    { at, key, value, options }: KeyOperation & { kind: 'set' },
    current: Held | null,
    now: number,
    changes: KeyChange[],
  ): SetOutcome {
    const { ifVersion, ttlMs, quota } = options;
    const version = current?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, reason: 'conflict', version };
    const bytes = bytesOf(key, value);
    const owner = quota === undefined ? (current?.owner ?? null) : toSortKey(quota.owner);
    if (quota !== undefined) {
      let limit = this.#passed(quota, at, bytes, current);
      // What has expired and is not swept yet still counts: it goes before anything is refused for it.
      while (limit !== null && this.#expireSome(at, now, changes)) limit = this.#passed(quota, at, bytes, current);
      if (limit !== null) return { ok: false, reason: 'full', limit };
    }
    if (current?.owner === owner) this.#charge(at, owner, 0, bytes - current.bytes);
    else {
      if (current !== null) this.#charge(at, current.owner, -1, -current.bytes);
      this.#charge(at, owner, 1, bytes);
    }
    const next = this.#nextVersion(at);
    this.#db.run(
      `INSERT INTO keys (space, tenant, namespace, key, value, version, expires_at, bytes, owner)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at,
         bytes = excluded.bytes, owner = excluded.owner`,
      ...[...placeOf(at), toSortKey(key), value, next, ttlMs === undefined ? null : now + ttlMs, bytes, owner],
    );
    changes.push({ at, key, operation: 'set', version: next, value });
    return { ok: true, version: next, created: current === null };
  }

  #delete(
    { at, key, ifVersion }: KeyOperation & { kind: 'delete' },
    current: Held | null,
    changes: KeyChange[],
  ): DeleteOutcome {
    const version = current?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, version };
    if (current === null) return { ok: true, deleted: false };
    changes.push(this.#remove(at, key, 'delete', current));
    return { ok: true, deleted: true };
  }

  #held(at: KeySpace, key: string): Held | null {
    const [row] = this.#db.rows(
      `SELECT version, expires_at, bytes, owner FROM keys
       WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?`,
      ...[...placeOf(at), toSortKey(key)],
    );
    return row === undefined ? null : heldOf(row);
  }

  #remove(at: KeySpace, key: string, operation: 'delete' | 'expire', { version, bytes, owner }: Held): KeyChange {
    this.#db.run(
      'DELETE FROM keys WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?',
      ...[...placeOf(at), toSortKey(key)],
    );
    this.#charge(at, owner, -1, -bytes);
    return { at, key, operation, version, value: null };
  }

  #expire(row: Row): KeyChange {
    const [space, tenant, namespace, key] = row.slice(4) as [string, string, string, string];
    const at = { space, tenant, namespace: fromSortKey(namespace) };
    return this.#remove(at, fromSortKey(key), 'expire', heldOf(row));
  }

  /** Deletes some of a tenant's keys in a space that have expired; answers whether there were any. */
  #expireSome({ space, tenant }: KeySpace, now: number, changes: KeyChange[]): boolean {
    const expired = this.#db.rows(
      `SELECT version, expires_at, bytes, owner, space, tenant, namespace, key FROM keys
       WHERE space = ? AND tenant = ? AND expires_at <= ? LIMIT ?`,
      ...[space, tenant, now, SWEEP_KEYS],
    );
    for (const row of expired) changes.push(this.#expire(row));
    return expired.length > 0;
  }

  /** Which bound would be passed if a key came to count for `bytes`, or came to be there at all. */
  #passed(quota: StoreQuota, at: KeySpace, bytes: number, current: Held | null): QuotaLimit | null {
    const owner = toSortKey(quota.owner);
    const held = usageOf(
      this.#db.rows(
        'SELECT keys, bytes FROM owners WHERE space = ? AND tenant = ? AND owner = ?',
        ...[at.space, at.tenant, owner],
      ),
    );
    const tenant = usageOf(
      this.#db.rows('SELECT keys, bytes FROM spaces WHERE space = ? AND tenant = ?', at.space, at.tenant),
    );
    const tenantMore = current === null ? { keys: 1, bytes } : { keys: 0, bytes: bytes - current.bytes };
    const ownerMore = current?.owner === owner ? tenantMore : { keys: 1, bytes };
    return passedLimit(quota, { held, more: ownerMore }, { held: tenant, more: tenantMore });
  }

  #charge({ space, tenant }: KeySpace, owner: string | null, keys: number, bytes: number): void {
    this.#db.run(
      `INSERT INTO spaces (space, tenant, version, keys, bytes) VALUES (?, ?, 0, ?, ?)
       ON CONFLICT DO UPDATE SET keys = keys + excluded.keys, bytes = bytes + excluded.bytes`,
      ...[space, tenant, keys, bytes],
    );
    if (owner === null) return;
    this.#db.run(
      `INSERT INTO owners (space, tenant, owner, keys, bytes) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET keys = keys + excluded.keys, bytes = bytes + excluded.bytes`,
      ...[space, tenant, owner, keys, bytes],
    );
    if (keys < 0) {
      this.#db.run(
        'DELETE FROM owners WHERE space = ? AND tenant = ? AND owner = ? AND keys = 0',
        ...[space, tenant, owner],
      );
    }
  }

  /** A version that no set of the tenant's keys in this space had or will have. The space is there. */
  #nextVersion({ space, tenant }: KeySpace): number {
    const place = [space, tenant];
    this.#db.run('UPDATE spaces SET version = version + 1 WHERE space = ? AND tenant = ?', ...place);
    return Number(this.#db.rows('SELECT version FROM spaces WHERE space = ? AND tenant = ?', ...place)[0]?.[0]);
  }
}

function placeOf({ space, tenant, namespace }: KeySpace): [string, string, string] {
  return [space, tenant, toSortKey(namespace)];
}

function entryOf(row: Row): KeyValueEntry {
  const [key, value, version, expiresAt] = row as [string, string, number, number | null];
  return { key: fromSortKey(key), value, version, expiresAt };
}

function heldOf(row: Row): Held {
  const [version, expiresAt, bytes, owner] = row as [number, number | null, number, string | null];
  return { version, expiresAt, bytes, owner };
}

function usageOf([row]: Row[]): Usage {
  const [keys = 0, bytes = 0] = (row ?? []) as number[];
  return { keys, bytes };
}
