/** An item with an expiry. `expiresAt` may change or become null while the heap holds it. */
export interface Expiring {
  readonly expiresAt: number | null;
}

interface Due<T> {
  readonly at: number;
  readonly item: T;
}

/**
 * A heap of items by expiry. An item whose expiry changed is added again; its stale entry is skipped when it comes up,
 * and removed before stale entries outnumber the valid ones.
 */
export class ExpiryHeap<T extends Expiring> {
  #heap: Due<T>[] = [];
  /** Size at which stale entries are removed. */
  #bound = 64;

  /** Adds an item at its current expiry. */
  add(item: T): void {
    if (item.expiresAt === null) return;
    if (this.#heap.length >= this.#bound) this.#compact();
    this.#heap.push({ at: item.expiresAt, item });
    this.#up(this.#heap.length - 1);
  }

  /** The earliest expiry, null when there is none. */
  next(): number | null {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return null;
      if (top.item.expiresAt === top.at) return top.at;
      this.#pop();
    }
  }

  /** Removes and returns one item that has expired at `now`, or undefined. */
  take(now: number): T | undefined {
    const next = this.next();
    if (next === null || next > now) return undefined;
    const item = this.#heap[0]?.item;
    this.#pop();
    return item;
  }

  #compact(): void {
    this.#heap = this.#heap.filter(({ at, item }) => item.expiresAt === at).sort((left, right) => left.at - right.at);
    this.#bound = Math.max(64, this.#heap.length * 2);
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down();
  }

  #up(from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#heap[parent]!.at <= this.#heap[index]!.at) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #down(): void {
    const { length } = this.#heap;
    for (let index = 0; ; ) {
      const left = 2 * index + 1;
      if (left >= length) return;
      const right = left + 1;
      const child = right < length && this.#heap[right]!.at < this.#heap[left]!.at ? right : left;
      if (this.#heap[index]!.at <= this.#heap[child]!.at) return;
      this.#swap(index, child);
      index = child;
    }
  }

  #swap(left: number, right: number): void {
    const held = this.#heap[left]!;
    this.#heap[left] = this.#heap[right]!;
    this.#heap[right] = held;
  }
}
