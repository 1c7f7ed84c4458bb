/** A block is split when it has more keys: inserting shifts at most this many. */
const MOST = 512;

/**
 * Keys in code-unit order, in which the store lists them: blocks of sorted keys, found by binary search. In one array,
 * each of many thousands of connections would shift half of the others' ids.
 */
export class SortedKeys {
  /** Never empty, and none of several blocks is. */
  readonly #blocks: string[][] = [[]];

  add(key: string): void {
    const index = this.#blockOf(key);
    const block = this.#blocks[index] as string[];
    block.splice(lowerBound(block, key), 0, key);
    if (block.length > MOST) this.#blocks.splice(index + 1, 0, block.splice(MOST / 2));
  }

  remove(key: string): void {
    const index = this.#blockOf(key);
    const block = this.#blocks[index] as string[];
    const at = lowerBound(block, key);
    if (block[at] !== key) return;
    block.splice(at, 1);
    if (block.length === 0 && this.#blocks.length > 1) this.#blocks.splice(index, 1);
  }

  /** At most `limit` keys with `prefix` that come after `after` (exclusive). */
  range(prefix: string, after: string | undefined, limit: number): string[] {
    const from = after !== undefined && after >= prefix ? after : prefix;
    const found: string[] = [];
    let index = this.#blockOf(from);
    for (let at = lowerBound(this.#blocks[index] ?? [], from); found.length < limit; at += 1) {
      let key = this.#blocks[index]?.[at];
      if (key === undefined) {
        index += 1;
        at = 0;
        key = this.#blocks[index]?.[at];
      }
      if (key === undefined || !key.startsWith(prefix)) break;
      if (key !== after) found.push(key);
    }
    return found;
  }

  /** The block that has the key, or where it belongs: the last one that does not start above it. */
  #blockOf(key: string): number {
    const blocks = this.#blocks;
    let low = 1;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (blocks[middle]![0]! <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** The first position whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
