import { randomToken } from '@arqonbus/protocol';
import type {
  DeleteOutcome,
  KeyChange,
  KeyQuery,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  QuotaLimit,
  SetOptions,
  SetOutcome,
  TenantSpace,
} from '../engine.ts';
import { bytesOf } from '../quota.ts';
import { Watchers } from '../watchers.ts';
import { Batcher } from './batcher.ts';
import type { Link } from './link.ts';
import { fromKeyBytes, spelled, storable, toKeyBytes } from './names.ts';

/** The size of a change besides its texts, in characters. */
const OVERHEAD = 400;

type Outcome = readonly [first: number | 'conflict' | 'full', second?: number | QuotaLimit];

/** One set or deletion, in the format of `arqon_change`. */
interface Operation {
  readonly kind: 'set' | 'delete';
  readonly space: string;
  readonly tenant: string;
  readonly namespace: string;
  readonly key: string;
  readonly value?: string;
  readonly if_version: number | undefined;
  readonly ttl_ms?: number | undefined;
  readonly version?: number | undefined;
  readonly bytes?: number;
  readonly owner?: string | undefined;
  readonly owner_keys?: number | undefined;
  readonly owner_bytes?: number | undefined;
  readonly tenant_keys?: number | undefined;
  readonly tenant_bytes?: number | undefined;
}

/** Keys and values in PostgreSQL. Changes that arrive while others are in progress share a transaction. */
export class PostgresStore implements KeyValueStore {
  private readonly link: Link;
  private readonly watchers = new Watchers();
  private readonly watchedSpaces = new Set<string>();
  private readonly batcher: Batcher<Operation, Outcome>;

  /** `committed` is called when something has changed, for the watchers of all nodes. */
  constructor(link: Link, committed: () => void) {
    this.link = link;
    this.batcher = new Batcher(async (operations) => {
      const tag = randomToken(26);
      const outcomes = await link.ask(async (session, again) => {
        const [row] = await session.query('SELECT arqon_change($1, $2, $3::text::json) AS answer', [
          ...[tag, again, JSON.stringify(operations)],
        ]);
        return JSON.parse(String(row?.answer)) as Outcome[];
      });
      committed();
      return outcomes;
    });
  }

  get(at: KeySpace, key: string): Promise<KeyValueEntry | null> {
    return this.link.ask(async (session) => {
      const [row] = await session.query(
        `SELECT key, value, version, expires_at FROM arqon_keys
         WHERE space = $1 AND tenant = $2 AND namespace = decode($3, 'hex') AND key = decode($4, 'hex')
           AND (expires_at IS NULL OR expires_at > arqon_now())`,
        [...placeOf(at), toKeyBytes(key)],
      );
      return row === undefined ? null : entryOf(row as unknown as KeyRow);
    });
  }

  async set(at: KeySpace, key: string, value: string, options: SetOptions = {}): Promise<SetOutcome> {
    const { ifVersion, ttlMs, version, quota } = options;
    const [space, tenant, namespace] = placeOf(at);
    const operation: Operation = {
      ...({ kind: 'set', space, tenant, namespace, key: toKeyBytes(key), value: storable(value) } as const),
      if_version: ifVersion,
      ttl_ms: ttlMs,
      version,
      bytes: bytesOf(key, value),
      owner: quota === undefined ? undefined : spelled(quota.owner),
      owner_keys: quota?.ownerKeys,
      owner_bytes: quota?.ownerBytes,
      tenant_keys: quota?.tenantKeys,
      tenant_bytes: quota?.tenantBytes,
    };
    const [first, second] = await this.batcher.add(operation, key.length * 4 + value.length + OVERHEAD);
    if (first === 'full') return { ok: false, reason: 'full', limit: second as QuotaLimit };
    if (first === 'conflict') return { ok: false, reason: 'conflict', version: second as number };
    return { ok: true, version: first, created: second === 1 };
  }

  async delete(at: KeySpace, key: string, ifVersion?: number): Promise<DeleteOutcome> {
    const [space, tenant, namespace] = placeOf(at);
    const [first, second] = await this.batcher.add(
      { kind: 'delete', space, tenant, namespace, key: toKeyBytes(key), if_version: ifVersion },
      key.length * 4 + OVERHEAD,
    );
    return first === 'conflict' ? { ok: false, version: second as number } : { ok: true, deleted: first === 1 };
  }

  list(at: KeySpace, query: KeyQuery): Promise<KeyValueEntry[]> {
    const { prefix = '', after, limit, owners = false } = query;
    const begin = toKeyBytes(prefix);
    return this.link.ask(async (session) => {
      const rows = await session.query(
        `SELECT key, value, version, expires_at, owner FROM arqon_keys
         WHERE space = $1 AND tenant = $2 AND namespace = decode($3, 'hex')
           AND key >= decode($4, 'hex') AND ($5::text IS NULL OR key > decode($5, 'hex'))
           AND substring(key FOR $6) = decode($4, 'hex')
           AND (expires_at IS NULL OR expires_at > arqon_now())
         ORDER BY key LIMIT $7`,
        [...placeOf(at), begin, after === undefined ? null : toKeyBytes(after), begin.length / 2, limit],
      );
      return (rows as unknown as KeyRow[]).map((row) => (owners ? ownedEntryOf(row) : entryOf(row)));
    });
  }

  spaces(): Promise<TenantSpace[]> {
    return this.link.ask(async (session) => {
      const rows = await session.query(
        `SELECT s.space, s.tenant, s.version, n.namespace FROM arqon_spaces s LEFT JOIN LATERAL (
           SELECT DISTINCT k.namespace FROM arqon_keys k WHERE k.space = s.space AND k.tenant = s.tenant
             AND (k.expires_at IS NULL OR k.expires_at > arqon_now())) n ON true
         ORDER BY s.space, s.tenant`,
        [],
      );
      const spaces: (TenantSpace & { readonly namespaces: string[] })[] = [];
      for (const row of rows) {
        const [space, tenant] = [String(row.space), String(row.tenant)];
        let last = spaces.at(-1);
        if (last?.space !== space || last.tenant !== tenant) {
          last = { tenant, space, version: Number(row.version), namespaces: [] };
          spaces.push(last);
        }
        if (row.namespace !== null) last.namespaces.push(fromKeyBytes(row.namespace as Uint8Array));
      }
      return spaces;
    });
  }

  tenants(space: string): Promise<string[]> {
    return this.link.ask(async (session) => {
      const rows = await session.query(
        `SELECT s.tenant FROM arqon_spaces s WHERE s.space = $1 AND s.keys > 0 AND EXISTS (
           SELECT FROM arqon_keys k WHERE k.space = $1 AND k.tenant = s.tenant
             AND (k.expires_at IS NULL OR k.expires_at > arqon_now()))`,
        [space],
      );
      return rows.map((row) => String(row.tenant));
    });
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    this.watchedSpaces.add(space);
    return this.watchers.add(space, onChange);
  }

  /** Spaces that are, or were, watched on this node. */
  watched(): readonly string[] {
    return [...this.watchedSpaces];
  }

  notify(change: KeyChange): void {
    this.watchers.notify(change);
  }

  /** Rejects new changes from now on; resolves when all pending ones are answered. */
  close(): Promise<void> {
    return this.batcher.close();
  }
}

interface KeyRow {
  readonly key: Uint8Array;
  readonly value: string;
  readonly version: number;
  readonly expires_at: number | null;
  /** Encoded; only if requested. */
  readonly owner?: string | null;
}

function placeOf({ space, tenant, namespace }: KeySpace): [space: string, tenant: string, namespace: string] {
  return [space, tenant, toKeyBytes(namespace)];
}

function entryOf({ key, value, version, expires_at: expiresAt }: KeyRow): KeyValueEntry {
  return { key: fromKeyBytes(key), value, version, expiresAt };
}

function ownedEntryOf(row: KeyRow): KeyValueEntry {
  const { owner = null } = row;
  return { ...entryOf(row), owner: owner === null ? null : (JSON.parse(`"${owner}"`) as string) };
}
