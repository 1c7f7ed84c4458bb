import { keyOf } from './envelope.ts';
import type { Entry, LedgerStream } from './ledger.ts';

/** Longest key that keeps an order; longer ones are cut. */
const MAX_KEY = 128;

/** The unsettled event of each key: the next event of that key waits until it is settled, through all its attempts. */
export class KeyOrder {
  /** Null for a group without keys. */
  private readonly path: readonly string[] | null;
  private readonly busy: Map<string, Entry> = new Map();

  constructor(path: string | null) {
    this.path = path?.split('.') ?? null;
  }

  get isUsed(): boolean {
    return this.path !== null;
  }

  /** Sets the key of an event from its text. */
  read(entry: Entry, text: string): void {
    if (this.path !== null) entry.key = keyOf(text, this.path, MAX_KEY);
  }

  mayGo(entry: Entry): boolean {
    const busy = entry.key === null ? undefined : this.busy.get(entry.key);
    return busy === undefined || busy === entry;
  }

  begin(entry: Entry): void {
    if (entry.key !== null) this.busy.set(entry.key, entry);
  }

  end(entry: Entry): void {
    if (entry.key !== null && this.busy.get(entry.key) === entry) this.busy.delete(entry.key);
  }

  /** Events delivered before keep their key until they are settled. */
  restore(streams: Iterable<LedgerStream>): void {
    this.busy.clear();
    for (const { entries } of streams) for (const entry of entries.values()) if (entry.attempts > 0) this.begin(entry);
  }
}
