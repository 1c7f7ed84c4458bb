import type { HistoryQuery, Retention, StoredEvent } from './engine.ts';

/** What all rings of an engine hold together; plain numbers that each ring keeps up to date. */
export interface Holdings {
  messages: number;
  /** In characters of text, which are bytes as long as the text is ASCII. */
  bytes: number;
}

const SMALLEST = 8;
const OPENING_BRACE = 0x7b;

/**
 * The history of one stream: its newest events, in parallel arrays, so that an event costs its text and no object of
 * its own. Sequences are consecutive, so that the place of each is known and none is stored.
 */
export class Ring {
  /** The last sequence assigned. */
  sequence = 0;
  readonly #holdings: Holdings;
  #texts: string[] = [];
  #froms: string[] = [];
  #times: number[] = [];
  #capacity = 0;
  /** Index of the oldest event kept. */
  #head = 0;
  #length = 0;
  #ttlMs = Number.POSITIVE_INFINITY;

  constructor(holdings: Holdings) {
    this.#holdings = holdings;
  }

  /** Takes the event with the next sequence, as `retention` allows, and lets go of what it no longer allows. */
  append(time: number, from: string, text: string, retention: Retention): void {
    this.sequence += 1;
    this.#ttlMs = retention.ttlMs;
    const { size } = retention;
    while (this.#length > 0 && this.#length >= size) this.#evict();
    if (size <= 0) return;
    // A text put together from pieces stays a tree of them until a character is read; kept for hours, the tree would
    // cost several times the text and every collection a walk through it.
    if (text.charCodeAt(0) !== OPENING_BRACE) throw new TypeError('An event is a JSON object.');
    if (this.#length === this.#capacity) this.#resize(Math.min(size, Math.max(SMALLEST, this.#capacity * 2)));
    const at = this.#index(this.#length);
    this.#texts[at] = text;
    this.#froms[at] = from;
    this.#times[at] = time;
    this.#length += 1;
    this.#holdings.messages += 1;
    this.#holdings.bytes += text.length;
  }

  /** The lowest sequence kept, one more than the last when none is. Not looking at age: {@link expire} first. */
  get oldest(): number {
    return this.sequence - this.#length + 1;
  }

  /** Lets go of at most `most` events that are older than their time to live; answers how many it was. */
  expire(now: number, most: number = Number.POSITIVE_INFINITY): number {
    let expired = 0;
    while (this.#length > 0 && expired < most && now - this.#times[this.#head]! >= this.#ttlMs) {
      this.#evict();
      expired += 1;
    }
    if (this.#capacity > SMALLEST && this.#length < this.#capacity / 4) {
      this.#resize(Math.max(SMALLEST, this.#length * 2));
    }
    return expired;
  }

  history(query: HistoryQuery): StoredEvent[] {
    const { fromTime = Number.NEGATIVE_INFINITY, toTime = Number.POSITIVE_INFINITY, limit } = query;
    const oldest = this.oldest;
    const low = Math.max(oldest, query.fromSequence ?? 0);
    const high = Math.min(this.sequence, query.toSequence ?? this.sequence);
    const backwards = query.take === 'last';
    const found: StoredEvent[] = [];
    for (let step = 0; step <= high - low && found.length < limit; step += 1) {
      const sequence = backwards ? high - step : low + step;
      const at = this.#index(sequence - oldest);
      const time = this.#times[at]!;
      if (time < fromTime || time > toTime) continue;
      found.push({ sequence, time, from: this.#froms[at]!, text: this.#texts[at]! });
    }
    return backwards ? found.reverse() : found;
  }

  /** Lets go of everything. */
  clear(): void {
    while (this.#length > 0) this.#evict();
    this.#resize(0);
  }

  #index(offset: number): number {
    const at = this.#head + offset;
    return at < this.#capacity ? at : at - this.#capacity;
  }

  #evict(): void {
    const head = this.#head;
    this.#holdings.messages -= 1;
    this.#holdings.bytes -= this.#texts[head]!.length;
    this.#texts[head] = '';
    this.#froms[head] = '';
    this.#head = head + 1 === this.#capacity ? 0 : head + 1;
    this.#length -= 1;
  }

  #resize(capacity: number): void {
    const inOrder = <T>(items: readonly T[]): T[] => {
      const tail = items.slice(this.#head, Math.min(this.#head + this.#length, this.#capacity));
      return tail.length === this.#length ? tail : tail.concat(items.slice(0, this.#length - tail.length));
    };
    this.#texts = inOrder(this.#texts);
    this.#froms = inOrder(this.#froms);
    this.#times = inOrder(this.#times);
    this.#head = 0;
    this.#capacity = capacity;
  }
}
