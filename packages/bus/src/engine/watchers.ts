import type { KeyChange } from './engine.ts';

/** Watchers of changes, per space of a key–value store. */
export class Watchers {
  readonly #spaces = new Map<string, Set<{ readonly tell: (change: KeyChange) => void }>>();

  /** Adds a watcher of a space; the returned function removes it and may be called more than once. */
  add(space: string, tell: (change: KeyChange) => void): () => void {
    // A separate object per call, so that the same function can watch twice.
    const watcher = { tell };
    const watchers = this.#spaces.get(space) ?? new Set();
    this.#spaces.set(space, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
    };
  }

  notify(change: KeyChange): void {
    for (const watcher of this.#spaces.get(change.at.space) ?? []) watcher.tell(change);
  }
}
