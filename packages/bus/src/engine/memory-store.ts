import type {
  DeleteOutcome,
  KeyChange,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  SetOptions,
  SetOutcome,
} from './engine.ts';
import { ExpiryHeap } from './expiry-heap.ts';
import { SortedKeys } from './sorted-keys.ts';
import { Watchers } from './watchers.ts';

/** The longest delay that a timer takes; a later end is looked at again then. */
const MAX_TIMER_MS = 2_147_483_647;

/** All keys of one tenant in one space. */
interface Tenant {
  count: number;
  readonly namespaces: Map<string, Namespace>;
}

interface Namespace {
  readonly at: KeySpace;
  readonly entries: Map<string, Entry>;
  readonly keys: SortedKeys;
}

interface Entry {
  readonly home: Namespace;
  readonly key: string;
  value: string;
  version: number;
  /** Null without a time to live, and once the entry is gone. */
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
    if (current === undefined && quota !== undefined && this.#count(at) >= quota.tenantKeys) {
      return { ok: false, reason: 'full', limit: 'tenant_keys' };
    }
    const entry = current ?? this.#create(at, key);
    entry.value = value;
    entry.version = version + 1;
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

  list(at: KeySpace, query: { prefix?: string; after?: string; limit: number }): KeyValueEntry[] {
    this.#begin();
    const namespace = this.#namespace(at);
    if (namespace === undefined) return [];
    const keys = namespace.keys.range(query.prefix ?? '', query.after, query.limit);
    return keys.map((key) => view(namespace.entries.get(key)!));
  }

  tenants(space: string): string[] {
    this.#begin();
    return [...(this.#spaces.get(space)?.keys() ?? [])];
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    return this.#watchers.add(space, onChange);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#wakes = Number.NEGATIVE_INFINITY;
  }

  /** Every call sees the store without what has expired by now, whether the timer came first or not. */
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

  /** Sees to it that the timer fires no later than the next end. */
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

  #count(at: KeySpace): number {
    return this.#spaces.get(at.space)?.get(at.tenant)?.count ?? 0;
  }

  #create(at: KeySpace, key: string): Entry {
    const space = this.#spaces.get(at.space) ?? new Map<string, Tenant>();
    this.#spaces.set(at.space, space);
    const tenant = space.get(at.tenant) ?? { count: 0, namespaces: new Map<string, Namespace>() };
    space.set(at.tenant, tenant);
    const home = tenant.namespaces.get(at.namespace) ?? { at: { ...at }, entries: new Map(), keys: new SortedKeys() };
    tenant.namespaces.set(at.namespace, home);
    const entry: Entry = { home, key, value: '', version: 0, expiresAt: null };
    home.entries.set(key, entry);
    home.keys.add(key);
    tenant.count += 1;
    return entry;
  }

  #remove(entry: Entry, operation: 'delete' | 'expire'): void {
    const { at, entries, keys } = entry.home;
    entry.expiresAt = null;
    entries.delete(entry.key);
    keys.remove(entry.key);
    const space = this.#spaces.get(at.space)!;
    const tenant = space.get(at.tenant)!;
    tenant.count -= 1;
    if (entries.size === 0) tenant.namespaces.delete(at.namespace);
    if (tenant.count === 0) space.delete(at.tenant);
    this.#tell(entry, operation);
  }

  #tell({ home, key, version, value }: Entry, operation: KeyChange['operation']): void {
    this.#watchers.notify({ at: home.at, key, operation, version, value: operation === 'set' ? value : null });
  }
}

function view({ key, value, version, expiresAt }: Entry): KeyValueEntry {
  return { key, value, version, expiresAt };
}
