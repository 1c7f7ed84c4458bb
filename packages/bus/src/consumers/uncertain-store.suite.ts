import { BusError } from '@arqonbus/protocol';
import type {
  Awaitable,
  DeleteOutcome,
  KeyChange,
  KeyQuery,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  SetOptions,
  SetOutcome,
  TenantSpace,
} from '../engine/engine.ts';

/** What becomes of a write: it is made and its outcome is lost, or it is not made. */
export type Misfortune = 'made, not told' | 'not made';

/** A store whose writes a test holds on their way, or has fail before or after they are made. */
export class UncertainStore implements KeyValueStore {
  private readonly store: KeyValueStore;
  private readonly space: string;
  private readonly misfortunes: Misfortune[] = [];
  private holding = 0;
  private readonly held: (() => void)[] = [];

  /** @param space whose writes go wrong; all others are made */
  constructor(store: KeyValueStore, space: string) {
    this.store = store;
    this.space = space;
  }

  /** The next write is on its way until {@link arrive}. */
  holdNext(): void {
    this.holding += 1;
  }

  /** Writes that are on their way. */
  get underWay(): number {
    return this.held.length;
  }

  /** What is on its way comes to the store. */
  arrive(): void {
    for (const release of this.held.splice(0)) release();
  }

  failNext(...misfortunes: readonly Misfortune[]): void {
    this.misfortunes.push(...misfortunes);
  }

  async set(at: KeySpace, key: string, value: string, options?: SetOptions): Promise<SetOutcome> {
    if (at.space !== this.space) return this.store.set(at, key, value, options);
    const misfortune = this.misfortunes.shift();
    if (this.holding > 0) {
      this.holding -= 1;
      await new Promise<void>((resolve) => this.held.push(resolve));
    }
    if (misfortune !== 'not made') {
      const outcome = await this.store.set(at, key, value, options);
      if (misfortune === undefined) return outcome;
    }
    throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
  }

  get(at: KeySpace, key: string): Awaitable<KeyValueEntry | null> {
    return this.store.get(at, key);
  }

  delete(at: KeySpace, key: string, ifVersion?: number): Awaitable<DeleteOutcome> {
    return this.store.delete(at, key, ifVersion);
  }

  list(at: KeySpace, query: KeyQuery): Awaitable<KeyValueEntry[]> {
    return this.store.list(at, query);
  }

  spaces(): Awaitable<TenantSpace[]> {
    return this.store.spaces();
  }

  tenants(space: string): Awaitable<string[]> {
    return this.store.tenants(space);
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    return this.store.watch(space, onChange);
  }
}
