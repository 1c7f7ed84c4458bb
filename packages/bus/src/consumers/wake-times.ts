import type { Clock } from '../clock.ts';
import type { KeySpace, KeyValueStore } from '../engine/engine.ts';
import { type Expiring, ExpiryHeap } from '../engine/expiry-heap.ts';

const SPACE = 'group_wake';
const PAGE = 500;
/** A time that has passed on any clock. */
const AT_ONCE = 0;

/**
 * When resting groups must be driven again, in milliseconds since 1970. Kept in the key-value store, so that every node
 * knows it and it survives a restart. A group without a time rests.
 */
export class WakeStore {
  protected readonly store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.store = store;
  }

  /** Null for a group that rests until it is woken. */
  async timeOf(tenant: string, key: string): Promise<number | null> {
    const entry = await this.store.get(spaceOf(tenant), key);
    return entry === null ? null : timeIn(entry.value);
  }

  /** Has a group driven no later than `at`. Rejects with STORAGE_UNAVAILABLE. */
  async by(tenant: string, key: string, at: number): Promise<void> {
    for (;;) {
      const entry = await this.store.get(spaceOf(tenant), key);
      if (entry !== null && timeIn(entry.value) <= at) return;
      const options = { ifVersion: entry?.version ?? 0 };
      const outcome = await this.store.set(spaceOf(tenant), key, JSON.stringify(at), options);
      if (outcome.ok) return;
    }
  }
}

export interface WakeEvents {
  /** Its time has come. Repeated when the time is stored again. */
  onWake(tenant: string, key: string): void;
  /** It rests, or its time has not come yet. */
  onRest(tenant: string, key: string): void;
}

class Wake implements Expiring {
  readonly tenant: string;
  readonly key: string;
  /** When it wakes; null when it is awake. */
  expiresAt: number | null = null;
  /** Whether the store has it. */
  isKept = false;

  constructor(tenant: string, key: string) {
    this.tenant = tenant;
    this.key = key;
  }
}

/** The wake times as one node follows them: which groups are awake, and when the others wake. */
export class WakeTimes extends WakeStore {
  private readonly clock: Clock;
  private readonly events: WakeEvents;
  private readonly wakes: Map<string, Wake> = new Map();
  private readonly coming: ExpiryHeap<Wake> = new ExpiryHeap();
  private stopWatching: () => void = () => {};
  private callOff: () => void = () => {};

  constructor(store: KeyValueStore, clock: Clock, events: WakeEvents) {
    super(store);
    this.clock = clock;
    this.events = events;
  }

  start(): void {
    this.stopWatching = this.store.watch(SPACE, ({ at, key, value }) =>
      this.follow(at.tenant, key, value === null ? null : timeIn(value)),
    );
  }

  async load(): Promise<void> {
    for (const tenant of await this.store.tenants(SPACE)) {
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const entries = await this.store.list(spaceOf(tenant), query);
        for (const { key, value } of entries) this.follow(tenant, key, timeIn(value));
        if (entries.length < PAGE) break;
        after = entries.at(-1)?.key;
      }
    }
  }

  stop(): void {
    this.callOff();
    this.stopWatching();
  }

  isAwake(tenant: string, key: string): boolean {
    return this.wakes.get(nameOf(tenant, key))?.expiresAt === null;
  }

  /** Wakes a group: on this node at once, on others when the store notifies them. */
  async wake(tenant: string, key: string): Promise<void> {
    const known = this.wakes.get(nameOf(tenant, key));
    if (known?.expiresAt === null && known.isKept) return;
    const wake = this.note(tenant, key, AT_ONCE);
    if (known?.expiresAt !== null) this.events.onWake(tenant, key);
    wake.isKept = true;
    try {
      await this.store.set(spaceOf(tenant), key, JSON.stringify(AT_ONCE));
    } catch (error) {
      wake.isKept = false;
      throw error;
    }
  }

  /** Lets a group rest until `next` (null: until it is woken); false when another write came first. */
  async rest(tenant: string, key: string, next: number | null): Promise<boolean> {
    const entry = await this.store.get(spaceOf(tenant), key);
    if (next !== null) {
      const options = { ifVersion: entry?.version ?? 0 };
      if (!(await this.store.set(spaceOf(tenant), key, JSON.stringify(next), options)).ok) return false;
    } else if (entry !== null && !(await this.store.delete(spaceOf(tenant), key, entry.version)).ok) return false;
    this.follow(tenant, key, next);
    return true;
  }

  /** Removes the time of a deleted group. */
  async forget(tenant: string, key: string): Promise<void> {
    await this.store.delete(spaceOf(tenant), key);
  }

  private follow(tenant: string, key: string, at: number | null): void {
    if (at === null) {
      const known = this.wakes.get(nameOf(tenant, key));
      // Makes the heap skip its entry.
      if (known !== undefined) known.expiresAt = Number.NaN;
      this.wakes.delete(nameOf(tenant, key));
      this.events.onRest(tenant, key);
      return;
    }
    const wake = this.note(tenant, key, at);
    wake.isKept = true;
    if (wake.expiresAt === null) this.events.onWake(tenant, key);
    else this.events.onRest(tenant, key);
  }

  private note(tenant: string, key: string, at: number): Wake {
    const name = nameOf(tenant, key);
    const wake = this.wakes.get(name) ?? new Wake(tenant, key);
    this.wakes.set(name, wake);
    wake.expiresAt = at <= this.clock.now() ? null : at;
    this.coming.add(wake);
    this.arm();
    return wake;
  }

  private arm(): void {
    this.callOff();
    const next = this.coming.next();
    if (next === null) return;
    this.callOff = this.clock.after(Math.max(0, next - this.clock.now()), () => {
      const now = this.clock.now();
      for (let due = this.coming.take(now); due !== undefined; due = this.coming.take(now)) {
        due.expiresAt = null;
        this.events.onWake(due.tenant, due.key);
      }
      this.arm();
    });
  }
}

function spaceOf(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}

function timeIn(value: string): number {
  return JSON.parse(value) as number;
}

/** Tenants contain no slash. */
function nameOf(tenant: string, key: string): string {
  return `${tenant}/${key}`;
}
