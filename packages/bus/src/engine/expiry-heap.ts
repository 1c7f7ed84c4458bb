/** Something with an end. `expiresAt` may change or become null while the heap holds it. */
export interface Expiring {
  readonly expiresAt: number | null;
}

interface Due<T> {
  readonly at: number;
  readonly item: T;
}

/**
 * What ends next. An item whose end changed is added again; the place it had is passed over when its turn comes, and
 * cleared out before such places outnumber the others.
 */
export class ExpiryHeap<T extends Expiring> {
  #heap: Due<T>[] = [];
  /** Size at which stale places are cleared out. */
  #bound = 64;

  /** Adds an item at its present end. */
  add(item: T): void {
    if (item.expiresAt === null) return;
    if (this.#heap.length >= this.#bound) this.#compact();
    this.#heap.push({ at: item.expiresAt, item });
    this.#up(this.#heap.length - 1);
  }

  /** When the next item ends, null when none will. */
  next(): number | null {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return null;
      if (top.item.expiresAt === top.at) return top.at;
      this.#pop();
    }
  }

  /** Takes out one item that has ended at `now`, undefined when there is none. */
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
