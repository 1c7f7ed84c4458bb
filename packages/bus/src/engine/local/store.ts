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
import type { Link, Welcome } from './link.ts';

/** Keys of the host's engine, with the changes made by all workers. */
export class LocalStore implements KeyValueStore {
  private readonly link: Link;
  private readonly watchers = new Watchers();
  private readonly watched = new Set<string>();
  /** The last change that this worker received. */
  told: { readonly run: string; readonly change: number } | null = null;

  constructor(link: Link) {
    this.link = link;
  }

  /** Resumes watching, and reports what changed while disconnected. */
  establish({ run, change, missed }: Welcome): void {
    for (const space of this.watched) this.link.post('watch', space);
    for (const one of missed) if (this.watched.has(one.change.at.space)) this.watchers.notify(one.change);
    this.told = { run, change };
  }

  changed(number: number, change: KeyChange): void {
    if (this.told !== null) this.told = { run: this.told.run, change: number };
    this.watchers.notify(change);
  }

  get(at: KeySpace, key: string): Promise<KeyValueEntry | null> {
    return this.link.request('get', at, key);
  }

  set(at: KeySpace, key: string, value: string, options?: SetOptions): Promise<SetOutcome> {
    return this.link.request('set', at, key, value, options ?? null);
  }

  delete(at: KeySpace, key: string, ifVersion?: number): Promise<DeleteOutcome> {
    return this.link.request('delete', at, key, ifVersion ?? null);
  }

  list(at: KeySpace, query: KeyQuery): Promise<KeyValueEntry[]> {
    return this.link.request('list', at, query);
  }

  spaces(): Promise<TenantSpace[]> {
    return this.link.request('spaces');
  }

  tenants(space: string): Promise<string[]> {
    return this.link.request('tenants', space);
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    if (!this.watched.has(space)) {
      this.watched.add(space);
      this.link.post('watch', space);
    }
    return this.watchers.add(space, onChange);
  }
}
