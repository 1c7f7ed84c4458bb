/** Bytes of waiting texts that one rule may keep. */
export const MAX_BACKLOG_BYTES: number = 8 * 1024 * 1024;

interface Sized {
  readonly size: number;
}

/** A queue bounded in items and bytes: over either, the oldest go. The newest always stays. */
export class Backlog<T extends Sized> {
  private readonly maxItems: number;
  private readonly maxBytes: number;
  private items: T[] = [];
  /** Items before it are gone; they are cut off once they are many. */
  private head = 0;
  private bytes = 0;

  constructor(maxItems: number, maxBytes: number = MAX_BACKLOG_BYTES) {
    this.maxItems = maxItems;
    this.maxBytes = maxBytes;
  }

  get length(): number {
    return this.items.length - this.head;
  }

  /** Adds an item; answers how many had to go. */
  push(item: T): number {
    this.items.push(item);
    this.bytes += item.size;
    let dropped = 0;
    while (this.length > 1 && (this.length > this.maxItems || this.bytes > this.maxBytes)) {
      this.shift();
      dropped += 1;
    }
    return dropped;
  }

  peek(): T | undefined {
    return this.items[this.head];
  }

  shift(): T | undefined {
    const item = this.items[this.head];
    if (item === undefined) return undefined;
    this.head += 1;
    this.bytes -= item.size;
    if (this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }

  /** Takes everything out, oldest first. */
  drain(): T[] {
    const all = this.items.slice(this.head);
    this.items = [];
    this.head = 0;
    this.bytes = 0;
    return all;
  }
}
