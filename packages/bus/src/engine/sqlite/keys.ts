import type {
  DeleteOutcome,
  KeyChange,
  KeySpace,
  KeyValueEntry,
  QuotaLimit,
  SetOutcome,
  StoreQuota,
  TenantSpace,
} from '../engine.ts';
import { bytesOf, passedLimit } from '../quota.ts';
import type { Calls, KeyOperation, KeyResult } from './calls.ts';
import type { Connection, Row } from './connection.ts';
import { endOfPrefix, fromSortKey, toSortKey } from './sort-keys.ts';
import type { UsageTable } from './usage.ts';

const SWEEP_KEYS = 500;

/** Space and tenant; namespace and key as encoded in the table. */
type Place = readonly [space: string, tenant: string, namespace: string, key: string];

/** An existing key, without its value. */
interface Held {
  readonly version: number;
  readonly expiresAt: number | null;
  readonly bytes: number;
  /** As encoded in the table. */
  readonly owner: string | null;
}

/** The key–value store in the database. */
export class KeyTable {
  readonly #db: Connection;
  readonly #usage: UsageTable;

  constructor(db: Connection, usage: UsageTable) {
    this.#db = db;
    this.#usage = usage;
  }

  get(at: KeySpace, key: string, now: number): KeyValueEntry | null {
    const [row] = this.#db.rows(
      `SELECT key, value, version, expires_at FROM keys
       WHERE space = ? AND tenant = ? AND namespace = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)`,
      ...[...placeOf(at), toSortKey(key), now],
    );
    return row === undefined ? null : entryOf(row);
  }

  list({ at, prefix, after, limit, owners, now }: Calls['list']['ask']): KeyValueEntry[] {
    const spelled = toSortKey(prefix);
    return this.#db
      .rows(
        `SELECT key, value, version, expires_at${owners ? ', owner' : ''} FROM keys
         WHERE space = ? AND tenant = ? AND namespace = ? AND key >= ? AND key < ? AND key > ?
           AND (expires_at IS NULL OR expires_at > ?)
         ORDER BY key LIMIT ?`,
        // A space sorts before digits, and thus below every encoded key, including the empty one.
        ...[...placeOf(at), spelled, endOfPrefix(spelled), after === undefined ? ' ' : toSortKey(after), now, limit],
      )
      .map(entryOf);
  }

  tenants(space: string, now: number): string[] {
    return this.#db
      .rows('SELECT DISTINCT tenant FROM keys WHERE space = ? AND (expires_at IS NULL OR expires_at > ?)', space, now)
      .map((row) => row[0] as string);
  }

  spaces(now: number): TenantSpace[] {
    const namespaces = new Map<string, string[]>();
    const nameOf = (space: unknown, tenant: unknown): string => `${space}\n${tenant}`;
    for (const [space, tenant, namespace] of this.#db.rows(
      'SELECT DISTINCT space, tenant, namespace FROM keys WHERE expires_at IS NULL OR expires_at > ?',
      now,
    )) {
      const name = nameOf(space, tenant);
      const known = namespaces.get(name) ?? [];
      known.push(fromSortKey(namespace as string));
      namespaces.set(name, known);
    }
    return this.#db.rows('SELECT space, tenant, version FROM spaces').map((row) => {
      const [space, tenant, version] = row as [string, string, number];
      return { tenant, space, version, namespaces: namespaces.get(nameOf(space, tenant)) ?? [] };
    });
  }

  apply(operation: KeyOperation, now: number): KeyResult {
    const { at, key } = operation;
    const place: Place = [...placeOf(at), toSortKey(key)];
    const changes: KeyChange[] = [];
    let current = this.#held(place);
    if (current !== null && current.expiresAt !== null && current.expiresAt <= now) {
      changes.push(this.#remove(at, key, place, 'expire', current));
      current = null;
    }
    const outcome =
      operation.kind === 'set'
        ? this.#set(operation, place, current, now, changes)
        : this.#delete(operation, place, current, changes);
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
    place: Place,
    current: Held | null,
    now: number,
    changes: KeyChange[],
  ): SetOutcome {
    const { ifVersion, ttlMs, quota } = options;
    const version = current?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, reason: 'conflict', version };
    const bytes = bytesOf(key, value);
    let owner = current?.owner ?? null;
    if (quota !== undefined) {
      owner = toSortKey(quota.owner);
      let limit = this.#passed(quota, owner, at, bytes, current);
      // Expired keys that are not swept yet still count: they are deleted before anything is rejected.
      while (limit !== null && this.#expireSome(at, now, changes)) {
        limit = this.#passed(quota, owner, at, bytes, current);
      }
      if (limit !== null) return { ok: false, reason: 'full', limit };
    }
    if (current?.owner === owner) this.#usage.charge(at, owner, 0, bytes - current.bytes);
    else {
      if (current !== null) this.#usage.charge(at, current.owner, -1, -current.bytes);
      this.#usage.charge(at, owner, 1, bytes);
    }
    const next = this.#usage.nextVersion(at, options.version);
    this.#db.run(
      `INSERT INTO keys (space, tenant, namespace, key, value, version, expires_at, bytes, owner)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at,
         bytes = excluded.bytes, owner = excluded.owner`,
      ...[...place, value, next, ttlMs === undefined ? null : now + ttlMs, bytes, owner],
    );
    changes.push({ at, key, operation: 'set', version: next, value });
    return { ok: true, version: next, created: current === null };
  }

  #delete(
    { at, key, ifVersion }: KeyOperation & { kind: 'delete' },
    place: Place,
    current: Held | null,
    changes: KeyChange[],
  ): DeleteOutcome {
    const version = current?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, version };
    if (current === null) return { ok: true, deleted: false };
    changes.push(this.#remove(at, key, place, 'delete', current));
    return { ok: true, deleted: true };
  }

  #held(place: Place): Held | null {
    const [row] = this.#db.rows(
      `SELECT version, expires_at, bytes, owner FROM keys
       WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?`,
      ...place,
    );
    return row === undefined ? null : heldOf(row);
  }

  #remove(
    at: KeySpace,
    key: string,
    place: Place,
    operation: 'delete' | 'expire',
    { version, bytes, owner }: Held,
  ): KeyChange {
    this.#db.run('DELETE FROM keys WHERE space = ? AND tenant = ? AND namespace = ? AND key = ?', ...place);
    this.#usage.charge(at, owner, -1, -bytes);
    return { at, key, operation, version, value: null };
  }

  #expire(row: Row): KeyChange {
    const place = row.slice(4) as [string, string, string, string];
    const [space, tenant, namespace, key] = place;
    return this.#remove(
      { space, tenant, namespace: fromSortKey(namespace) },
      fromSortKey(key),
      place,
      'expire',
      heldOf(row),
    );
  }

  /** Deletes some of a tenant's expired keys in a space; returns whether there were any. */
  #expireSome({ space, tenant }: KeySpace, now: number, changes: KeyChange[]): boolean {
    const expired = this.#db.rows(
      `SELECT version, expires_at, bytes, owner, space, tenant, namespace, key FROM keys
       WHERE space = ? AND tenant = ? AND expires_at <= ? LIMIT ?`,
      ...[space, tenant, now, SWEEP_KEYS],
    );
    for (const row of expired) changes.push(this.#expire(row));
    return expired.length > 0;
  }

  /** The limit that would be exceeded if a key, new or existing, had this size. */
  #passed(quota: StoreQuota, owner: string, at: KeySpace, bytes: number, current: Held | null): QuotaLimit | null {
    const held = this.#usage.owner(at, owner);
    const tenant = this.#usage.tenant(at);
    const tenantMore = current === null ? { keys: 1, bytes } : { keys: 0, bytes: bytes - current.bytes };
    const ownerMore = current?.owner === owner ? tenantMore : { keys: 1, bytes };
    return passedLimit(quota, { held, more: ownerMore }, { held: tenant, more: tenantMore });
  }
}

function placeOf({ space, tenant, namespace }: KeySpace): [string, string, string] {
  return [space, tenant, toSortKey(namespace)];
}

function entryOf(row: Row): KeyValueEntry {
  const [key, value, version, expiresAt, owner] = row as [string, string, number, number | null, (string | null)?];
  const entry = { key: fromSortKey(key), value, version, expiresAt };
  return owner === undefined ? entry : { ...entry, owner: owner === null ? null : fromSortKey(owner) };
}

function heldOf(row: Row): Held {
  const [version, expiresAt, bytes, owner] = row as [number, number | null, number, string | null];
  return { version, expiresAt, bytes, owner };
}
