/** Keys in code-unit order, in which the store lists them; binary search, insertion by shifting. */
export class SortedKeys {
  readonly #keys: string[] = [];

  add(key: string): void {
    this.#keys.splice(this.#lowerBound(key), 0, key);
  }

  remove(key: string): void {
    const at = this.#lowerBound(key);
    if (this.#keys[at] === key) this.#keys.splice(at, 1);
  }

  /** At most `limit` keys with `prefix` that come after `after` (exclusive). */
  range(prefix: string, after: string | undefined, limit: number): string[] {
    let at = this.#lowerBound(prefix);
    if (after !== undefined && after >= prefix) {
      at = this.#lowerBound(after);
      if (this.#keys[at] === after) at += 1;
    }
    const found: string[] = [];
    for (; found.length < limit; at += 1) {
      const key = this.#keys[at];
      if (key === undefined || !key.startsWith(prefix)) break;
      found.push(key);
    }
    return found;
  }

  /** The first position whose key is not below `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
