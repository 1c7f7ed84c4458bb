import { unavailable } from '../server-link.ts';
import { tooBusy } from './faults.ts';

/** Maximum characters waiting while a transaction is in progress. */
const MAX_BACKLOG = 64 * 1_048_576;
/** Limits per transaction. */
const MOST_ITEMS = 1_000;
const MOST_CHARACTERS = 4 * 1_048_576;

export interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly size: number;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/**
 * Collects items while one transaction is in progress, and runs them in the next: many share one disk sync of the
 * server. Order is kept. `fits` decides what may share a transaction with the items before it.
 */
export class Batcher<Item, Answer> {
  private waiting: Waiting<Item, Answer>[] = [];
  private characters = 0;
  private underWay: Promise<void> | null = null;
  private scheduled = false;
  private closed = false;
  private readonly run: (items: readonly Item[]) => Promise<readonly Answer[]>;
  private readonly fits: ((batch: readonly Item[], item: Item) => boolean) | undefined;

  /** `run` returns a result for each item, in order, or rejects for all of them. */
  constructor(
    run: (items: readonly Item[]) => Promise<readonly Answer[]>,
    fits?: (batch: readonly Item[], item: Item) => boolean,
  ) {
    this.run = run;
    this.fits = fits;
  }

  /** `size` in characters. Throws STORAGE_UNAVAILABLE when too much is waiting. */
  add(item: Item, size: number): Promise<Answer> {
    if (this.closed) return Promise.reject(unavailable('the engine was closed.'));
    if (this.characters > MAX_BACKLOG) throw tooBusy();
    this.characters += size;
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, size, resolve, reject });
      this.schedule();
    });
  }

  /** Rejects new items from now on; resolves when all pending ones are answered. */
  async close(): Promise<void> {
    this.closed = true;
    while (this.underWay !== null || this.waiting.length > 0) {
      this.send();
      await this.underWay;
    }
  }

  private schedule(): void {
    if (this.scheduled || this.underWay !== null) return;
    this.scheduled = true;
    // At the end of the turn, when all frames that arrived together have been added.
    setImmediate(() => {
      this.scheduled = false;
      this.send();
    });
  }

  private send(): void {
    if (this.underWay !== null || this.waiting.length === 0) return;
    const batch = this.take();
    const size = batch.reduce((sum, each) => sum + each.size, 0);
    this.underWay = this.run(batch.map(({ item }) => item))
      .then(
        (answers) => {
          for (const [index, { resolve }] of batch.entries()) resolve(answers[index] as Answer);
        },
        (error: Error) => {
          for (const { reject } of batch) reject(error);
        },
      )
      .then(() => {
        this.characters -= size;
        this.underWay = null;
        this.send();
      });
  }

  private take(): Waiting<Item, Answer>[] {
    const items: Item[] = [];
    let characters = 0;
    for (const { item, size } of this.waiting) {
      if (items.length >= MOST_ITEMS || (items.length > 0 && characters + size > MOST_CHARACTERS)) break;
      if (items.length > 0 && this.fits?.(items, item) === false) break;
      items.push(item);
      characters += size;
    }
    return this.waiting.splice(0, items.length);
  }
}
