import type {
  DeleteOutcome,
  KeyChange,
  KeyQuery,
  KeySpace,
  KeyValueEntry,
  KeyValueStore,
  SetOptions,
  SetOutcome,
  TenantSpace,
} from '../engine.ts';
import { Watchers } from '../watchers.ts';
import type { CallName, Calls, KeyOperation } from './calls.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Link } from './link.ts';

/** Keys and values in SQLite. Changes share their transactions with the streams' events. */
export class SqliteStore implements KeyValueStore {
  operations = 0;
  readonly #link: Link;
  readonly #writes: GroupCommit;
  readonly #now: () => number;
  readonly #watchers = new Watchers();

  constructor(link: Link, writes: GroupCommit, now: () => number) {
    this.#link = link;
    this.#writes = writes;
    this.#now = now;
  }

  get(at: KeySpace, key: string): Promise<KeyValueEntry | null> {
    return this.#read('get', { at, key, now: this.#now() });
  }

  set(at: KeySpace, key: string, value: string, options: SetOptions = {}): Promise<SetOutcome> {
    return this.#change({ kind: 'set', at, key, value, options }) as Promise<SetOutcome>;
  }

  delete(at: KeySpace, key: string, ifVersion?: number): Promise<DeleteOutcome> {
    return this.#change({ kind: 'delete', at, key, ifVersion }) as Promise<DeleteOutcome>;
  }

  list(at: KeySpace, query: KeyQuery): Promise<KeyValueEntry[]> {
    const { prefix = '', after, limit, owners = false } = query;
    return this.#read('list', { at, prefix, after, limit, owners, now: this.#now() });
  }

  spaces(): Promise<TenantSpace[]> {
    return this.#read('spaces', { now: this.#now() });
  }

  tenants(space: string): Promise<string[]> {
    return this.#read('tenants', { space, now: this.#now() });
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    return this.#watchers.add(space, onChange);
  }

  notify(changes: readonly KeyChange[]): void {
    for (const change of changes) this.#watchers.notify(change);
  }

  async #change(operation: KeyOperation): Promise<SetOutcome | DeleteOutcome> {
    this.operations += 1;
    const { outcome, changes } = await this.#writes.operate(operation);
    this.notify(changes);
    return outcome;
  }

  async #read<Name extends CallName>(name: Name, ask: Calls[Name]['ask']): Promise<Calls[Name]['answer']> {
    this.operations += 1;
    try {
      return await this.#link.call(name, ask);
    } catch (error) {
      throw this.#writes.failed(error);
    }
  }
}
