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
  StoreQuota,
  TenantSpace,
} from '../engine.ts';
import { ExpiryHeap } from '../expiry-heap.ts';
import { bytesOf, passedLimit, type Usage } from '../quota.ts';
import { Watchers } from '../watchers.ts';
import { SortedKeys } from './sorted-keys.ts';

/** The longest delay of a timer; a later expiry is checked again then. */
const MAX_TIMER_MS = 2_147_483_647;

/** All keys of one tenant in one space. Kept when they are gone, since versions are never reused. */
interface Tenant {
  /** The last version assigned. */
  version: number;
  readonly held: Usage;
  readonly owners: Map<string, Usage>;
  readonly namespaces: Map<string, Namespace>;
}

interface Namespace {
  readonly at: KeySpace;
  readonly tenant: Tenant;
  readonly entries: Map<string, Entry>;
  readonly keys: SortedKeys;
}

interface Entry {
  readonly home: Namespace;
  readonly key: string;
  value: string;
  version: number;
  /** Its size, and whose quota it counts against; null for nobody's. */
  bytes: number;
  owner: string | null;
  /** Null if it does not expire, and once the entry is gone. */
  expiresAt: number | null;
}

/** Keys and values in this process's memory. One timer serves every time to live. */
export class MemoryStore implements KeyValueStore {
  operations = 0;
  readonly #now: () => number;
  readonly #spaces = new Map<string, Map<string, Tenant>>();
  readonly #expiring = new ExpiryHeap<Entry>();
  readonly #watchers = new Watchers();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires; infinity without one. */
  #wakes = Number.POSITIVE_INFINITY;

  constructor(now: () => number) {
    this.#now = now;
  }

  get(at: KeySpace, key: string): KeyValueEntry | null {
    this.#begin();
    const entry = this.#namespace(at)?.entries.get(key);
    return entry === undefined ? null : view(entry);
  }

  set(at: KeySpace, key: string, value: string, options: SetOptions = {}): SetOutcome {
    this.#begin();
    const { ifVersion, ttlMs, quota } = options;
    const current = this.#namespace(at)?.entries.get(key);
    const version = current?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, reason: 'conflict', version };
    const tenant = this.#tenant(at);
    const owner = quota?.owner ?? current?.owner ?? null;
    const bytes = bytesOf(key, value);
    if (quota !== undefined) {
      const limit = passed(quota, tenant, bytes, current);
      if (limit !== null) return { ok: false, reason: 'full', limit };
    }
    if (current !== undefined) charge(tenant, current.owner, -1, -current.bytes);
    charge(tenant, owner, 1, bytes);
    const own = options.version ?? tenant.version + 1;
    tenant.version = Math.max(tenant.version, own);
    const entry = current ?? create(namespaceOf(tenant, at), key);
    entry.value = value;
    entry.version = own;
    entry.bytes = bytes;
    entry.owner = owner;
    entry.expiresAt = ttlMs === undefined ? null : this.#now() + ttlMs;
    this.#expiring.add(entry);
    this.#schedule();
    this.#tell(entry, 'set');
    return { ok: true, version: entry.version, created: current === undefined };
  }

  delete(at: KeySpace, key: string, ifVersion?: number): DeleteOutcome {
    this.#begin();
    const entry = this.#namespace(at)?.entries.get(key);
    const version = entry?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== version) return { ok: false, version };
    if (entry === undefined) return { ok: true, deleted: false };
    this.#remove(entry, 'delete');
    return { ok: true, deleted: true };
  }

  list(at: KeySpace, query: KeyQuery): KeyValueEntry[] {
    this.#begin();
    const namespace = this.#namespace(at);
    if (namespace === undefined) return [];
    const keys = namespace.keys.range(query.prefix ?? '', query.after, query.limit);
    const entries = keys.map((key) => namespace.entries.get(key)!);
    return query.owners === true ? entries.map((entry) => ({ ...view(entry), owner: entry.owner })) : entries.map(view);
  }

  spaces(): TenantSpace[] {
    this.#begin();
    return [...this.#spaces].flatMap(([space, tenants]) =>
      [...tenants].map(([tenant, { version, namespaces }]) => ({
        ...{ tenant, space, version },
        namespaces: [...namespaces.keys()],
      })),
    );
  }

  tenants(space: string): string[] {
    this.#begin();
    const tenants = [...(this.#spaces.get(space) ?? [])];
    return tenants.filter(([, { held }]) => held.keys > 0).map(([name]) => name);
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    return this.#watchers.add(space, onChange);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#wakes = Number.NEGATIVE_INFINITY;
  }

  /** Every call ignores what has expired by now, whether or not the timer has fired. */
  #begin(): void {
    this.operations += 1;
    this.#expire();
  }

  #expire(): void {
    if (this.#expiring.next() === null) return;
    const now = this.#now();
    for (let entry = this.#expiring.take(now); entry !== undefined; entry = this.#expiring.take(now)) {
      this.#remove(entry, 'expire');
    }
  }

  /** Makes sure the timer fires no later than the next expiry. */
  #schedule(): void {
    const next = this.#expiring.next();
    if (next === null || next >= this.#wakes) return;
    clearTimeout(this.#timer);
    this.#wakes = next;
    this.#timer = setTimeout(
      () => {
        this.#wakes = Number.POSITIVE_INFINITY;
        this.#expire();
        this.#schedule();
      },
      Math.min(Math.max(0, next - this.#now()), MAX_TIMER_MS),
    );
    this.#timer.unref();
  }

  #namespace(at: KeySpace): Namespace | undefined {
    return this.#spaces.get(at.space)?.get(at.tenant)?.namespaces.get(at.namespace);
  }

  #tenant({ space: name, tenant }: KeySpace): Tenant {
    const space = this.#spaces.get(name) ?? new Map<string, Tenant>();
    this.#spaces.set(name, space);
    const known = space.get(tenant);
    if (known !== undefined) return known;
    const made: Tenant = { version: 0, held: { keys: 0, bytes: 0 }, owners: new Map(), namespaces: new Map() };
    space.set(tenant, made);
    return made;
  }

  #remove(entry: Entry, operation: 'delete' | 'expire'): void {
    const { at, tenant, entries, keys } = entry.home;
    entry.expiresAt = null;
    entries.delete(entry.key);
    keys.remove(entry.key);
    charge(tenant, entry.owner, -1, -entry.bytes);
    if (entries.size === 0) tenant.namespaces.delete(at.namespace);
    this.#tell(entry, operation);
  }

  #tell({ home, key, version, value }: Entry, operation: KeyChange['operation']): void {
    this.#watchers.notify({ at: home.at, key, operation, version, value: operation === 'set' ? value : null });
  }
}

/** The namespace of a key, created if it does not exist. */
function namespaceOf(tenant: Tenant, at: KeySpace): Namespace {
  const known = tenant.namespaces.get(at.namespace);
  if (known !== undefined) return known;
  const home: Namespace = { at: { ...at }, tenant, entries: new Map(), keys: new SortedKeys() };
  tenant.namespaces.set(at.namespace, home);
  return home;
}

function create(home: Namespace, key: string): Entry {
  const entry: Entry = { home, key, value: '', version: 0, bytes: 0, owner: null, expiresAt: null };
  home.entries.set(key, entry);
  home.keys.add(key);
  return entry;
}

/** The limit that would be exceeded if a key, new or existing, had this size. */
function passed(quota: StoreQuota, tenant: Tenant, bytes: number, current: Entry | undefined): QuotaLimit | null {
  const held = tenant.owners.get(quota.owner) ?? { keys: 0, bytes: 0 };
  const tenantMore = current === undefined ? { keys: 1, bytes } : { keys: 0, bytes: bytes - current.bytes };
  const ownerMore = current?.owner === quota.owner ? tenantMore : { keys: 1, bytes };
  return passedLimit(quota, { held, more: ownerMore }, { held: tenant.held, more: tenantMore });
}

function charge(tenant: Tenant, owner: string | null, keys: number, bytes: number): void {
  tenant.held.keys += keys;
  tenant.held.bytes += bytes;
  if (owner === null) return;
  const held = tenant.owners.get(owner) ?? { keys: 0, bytes: 0 };
  held.keys += keys;
  held.bytes += bytes;
  if (held.keys === 0) tenant.owners.delete(owner);
  else tenant.owners.set(owner, held);
}

function view({ key, value, version, expiresAt }: Entry): KeyValueEntry {
  return { key, value, version, expiresAt };
}
