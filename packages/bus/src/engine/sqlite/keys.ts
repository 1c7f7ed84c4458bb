import type { DeleteOutcome, KeyChange, KeySpace, KeyValueEntry, SetOutcome } from '../engine.ts';
import type { KeyOperation, KeyResult } from './calls.ts';
import type { Connection, Row } from './connection.ts';
import { endOfPrefix, fromSortKey, toSortKey } from './sort-keys.ts';

const SWEEP_KEYS = 500;

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
    const current = this.#current(at, key, now, changes);
    const outcome =
      operation.kind === 'set'
        ? this.#set(operation, current, now, changes)
        : this.#delete(operation, current, changes);
    return { outcome, changes };
  }

  /** Deletes some of the keys that have expired. */
  sweep(now: number): KeyChange[] {
    const expired = this.#db.rows(
      `SELECT space, tenant, namespace, key, version FROM keys
       WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
      ...[now, SWEEP_KEYS],
    );
    return (expired as [string, string, string, string, number][]).map(([space, tenant, namespace, key, version]) => {
      const at = { space, tenant, namespace: fromSortKey(namespace) };
      return this.#remove(at, fromSortKey(key), 'expire', version);
    });
  }

  /** The version that the key has now, 0 when there is none; one that has expired is removed first. */
  #current(at: KeySpace, key: string, now: number, changes: KeyChange[]): number {
    const [row] = this.#db.rows(
      'SELECT version, expires_at FROM keys WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?',
      ...[...placeOf(at), toSortKey(key)],
    );
    if (row === undefined) return 0;
    const [version, expiresAt] = row as [number, number | null];
    if (expiresAt === null || expiresAt > now) return version;
    changes.push(this.#remove(at, key, 'expire', version));
    return 0;
  }

  #set(
    { at, key, value, options }: KeyOperation & { kind: 'set' },
    current: number,
    now: number,
    changes: KeyChange[],
  ): SetOutcome {
    const { ifVersion, ttlMs, quota } = options;
    if (ifVersion !== undefined && ifVersion !== current) return { ok: false, reason: 'conflict', version: current };
    if (current === 0 && quota !== undefined && this.#count(at, now) >= quota.tenantKeys) {
      return { ok: false, reason: 'full', limit: 'tenant_keys' };
    }
    const version = current + 1;
    this.#db.run(
      `INSERT INTO keys (space, tenant, namespace, key, value, version, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at`,
      ...[...placeOf(at), toSortKey(key), value, version, ttlMs === undefined ? null : now + ttlMs],
    );
    changes.push({ at, key, operation: 'set', version, value });
    return { ok: true, version, created: current === 0 };
  }

  #delete(
    { at, key, ifVersion }: KeyOperation & { kind: 'delete' },
    current: number,
    changes: KeyChange[],
  ): DeleteOutcome {
    if (ifVersion !== undefined && ifVersion !== current) return { ok: false, version: current };
    if (current === 0) return { ok: true, deleted: false };
    changes.push(this.#remove(at, key, 'delete', current));
    return { ok: true, deleted: true };
  }

  #remove(at: KeySpace, key: string, operation: 'delete' | 'expire', version: number): KeyChange {
    this.#db.run(
      'DELETE FROM keys WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?',
      ...[...placeOf(at), toSortKey(key)],
    );
    return { at, key, operation, version, value: null };
  }

  #count({ space, tenant }: KeySpace, now: number): number {
    const [row] = this.#db.rows(
      'SELECT count(*) FROM keys WHERE space = ? AND tenant = ? AND (expires_at IS NULL OR expires_at > ?)',
      ...[space, tenant, now],
    );
    return Number(row?.[0]);
  }
}

function placeOf({ space, tenant, namespace }: KeySpace): [string, string, string] {
  return [space, tenant, toSortKey(namespace)];
}

function entryOf(row: Row): KeyValueEntry {
  const [key, value, version, expiresAt] = row as [string, string, number, number | null];
  return { key: fromSortKey(key), value, version, expiresAt };
}
