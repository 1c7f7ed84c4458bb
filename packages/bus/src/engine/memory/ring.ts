import type { HistoryQuery, Retention, StoredEvent } from '../engine.ts';

/** What all rings of an engine hold together; plain numbers that each ring keeps up to date. */
export interface Holdings {
  messages: number;
  /** In characters of text, which are bytes as long as the text is ASCII. */
  bytes: number;
}

/** What an event costs in memory beside its text: the string's header, its place in the arrays, its share of free ones. */
const EVENT_OVERHEAD = 64;
/** UTF-8 bytes that a character (a UTF-16 unit) takes at most, and bytes of memory. */
const UTF8_BYTES = 3;
const MEMORY_BYTES = 2;
/** Characters that are only estimated at most, so that counting them takes less than a millisecond. */
const MAX_ESTIMATED = 1_048_576;
const OPENING_BRACE = 0x7b;

/**
 * The history of one stream: its newest events, in two arrays, so that an event costs its text and no object of its
 * own. Sequences are consecutive, so that the place of each is known and none is stored.
 *
 * Counting UTF-8 bytes takes a walk through the text. It is put off until an upper bound no longer does, which for most
 * events is never; where a limit is near, bytes are counted exactly.
 */
export class Ring {
  /** The last sequence assigned. */
  sequence = 0;
  /** Bytes of memory that the events take, at most; after {@link measure} about exactly. */
  weight = 0;
  readonly #holdings: Holdings;
  /** Text and sender of each event. */
  #texts: string[] = [];
  /** When each event was accepted, by the sender's node, and when it came here, by the clock that ages it. */
  #times: number[] = [];
  #capacity = 0;
  /** Index of the oldest event kept. */
  #head = 0;
  #length = 0;
  #ttlMs = 0;
  /** Events that stay whatever the limits say: 1 while the last one does, else 0. */
  #spared = 0;
  /** How many of the events, from the oldest on, are counted; their characters and their UTF-8 bytes. */
  #counted = 0;
  #countedCharacters = 0;
  #countedBytes = 0;
  /** Characters of the others. */
  #estimated = 0;

  constructor(holdings: Holdings) {
    this.#holdings = holdings;
  }

  /**
   * Takes the event with the next sequence, accepted at `time` and here since `now`, as `retention` allows, and lets
   * go of what it no longer allows.
   */
  append(time: number, now: number, from: string, text: string, retention: Retention): void {
    const { ttlMs, bytes: most = Number.POSITIVE_INFINITY, keepLast = false } = retention;
    const size = keepLast ? Math.max(1, retention.size) : retention.size;
    this.sequence += 1;
    this.#ttlMs = ttlMs;
    this.#spared = keepLast ? 1 : 0;
    if (size <= 0) {
      this.clear();
      return;
    }
    while (this.#length >= size) this.evict();
    // A text put together from pieces stays a tree of them until a character is read; kept for hours, the tree would
    // cost several times the text and every collection a walk through it.
    if (text.charCodeAt(0) !== OPENING_BRACE) throw new TypeError('An event is a JSON object.');
    const estimated = this.#estimated + text.length;
    const isNear = estimated > MAX_ESTIMATED || this.#countedBytes + UTF8_BYTES * estimated > most;
    if (isNear) {
      this.measure();
      const bytes = Buffer.byteLength(text);
      while (this.#length > 0 && this.#countedBytes + bytes > most) this.evict();
      if (bytes > most && !keepLast) return;
    }
    if (this.#length === this.#capacity) this.#resize(Math.min(size, Math.max(1, this.#capacity * 2)));
    const at = 2 * this.#index(this.#length);
    this.#texts[at] = text;
    this.#texts[at + 1] = from;
    this.#times[at] = time;
    this.#times[at + 1] = now;
    this.#length += 1;
    this.#estimated += text.length;
    this.weight += EVENT_OVERHEAD + MEMORY_BYTES * text.length;
    this.#holdings.messages += 1;
    this.#holdings.bytes += text.length;
    if (isNear) this.measure();
  }

  /** The lowest sequence kept, one more than the last when none is. Not looking at age: {@link expire} first. */
  get oldest(): number {
    return this.sequence - this.#length + 1;
  }

  /** Follows other limits, and lets go of what they do not allow. */
  retain(now: number, { size, ttlMs, bytes: most = Number.POSITIVE_INFINITY, keepLast = false }: Retention): void {
    this.expire(now);
    this.#ttlMs = ttlMs;
    this.#spared = keepLast && this.#length > 0 ? 1 : 0;
    while (this.#length > Math.max(size, this.#spared)) this.evict();
    if (Number.isFinite(most)) this.measure();
    while (this.#length > this.#spared && this.#countedBytes > most) this.evict();
    this.expire(now);
  }

  get length(): number {
    return this.#length;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** UTF-8 bytes of the texts; a character that was not counted yet is taken for one. */
  get bytes(): number {
    return this.#countedBytes + this.#estimated;
  }

  /** Whether all that it holds is an event that stays whatever the limits say. */
  get isSpared(): boolean {
    return this.#length > 0 && this.#length === this.#spared;
  }

  /** Lets go of at most `most` events that are older than their time to live; answers how many it was. */
  expire(now: number, most: number = Number.POSITIVE_INFINITY): number {
    let expired = 0;
    while (this.#length > this.#spared && expired < most && now - this.#times[2 * this.#head + 1]! >= this.#ttlMs) {
      this.evict();
      expired += 1;
    }
    if (this.#length < this.#capacity / 4) this.#resize(this.#length * 2);
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
      const at = 2 * this.#index(sequence - oldest);
      const time = this.#times[at]!;
      if (time < fromTime || time > toTime) continue;
      found.push({ sequence, time, from: this.#texts[at + 1]!, text: this.#texts[at]! });
    }
    return backwards ? found.reverse() : found;
  }

  /**
   * Counts what was only estimated, from the oldest event on, until it has gone through `most` characters; answers
   * through how many it went.
   */
  measure(most: number = Number.POSITIVE_INFINITY): number {
    const before = this.#estimated;
    for (; this.#counted < this.#length && before - this.#estimated < most; this.#counted += 1) {
      const text = this.#texts[2 * this.#index(this.#counted)]!;
      const bytes = Buffer.byteLength(text);
      this.#estimated -= text.length;
      this.#countedCharacters += text.length;
      this.#countedBytes += bytes;
      this.weight += memoryOf(text, bytes) - MEMORY_BYTES * text.length;
    }
    return before - this.#estimated;
  }

  /** Lets go of the oldest event, if there is one. */
  evict(): void {
    if (this.#length === 0) return;
    const at = 2 * this.#head;
    const text = this.#texts[at]!;
    this.#texts[at] = '';
    this.#texts[at + 1] = '';
    this.#head = this.#head + 1 === this.#capacity ? 0 : this.#head + 1;
    this.#length -= 1;
    this.#holdings.messages -= 1;
    this.#holdings.bytes -= text.length;
    this.weight -= EVENT_OVERHEAD;
    if (this.#counted === 0) {
      this.#estimated -= text.length;
      this.weight -= MEMORY_BYTES * text.length;
      return;
    }
    // As long as all that is counted is ASCII, nothing has to be counted again.
    const isAscii = this.#countedBytes === this.#countedCharacters;
    const bytes = isAscii ? text.length : Buffer.byteLength(text);
    this.#counted -= 1;
    this.#countedCharacters -= text.length;
    this.#countedBytes -= bytes;
    this.weight -= memoryOf(text, bytes);
  }

  /** Lets go of everything. */
  clear(): void {
    while (this.#length > 0) this.evict();
    this.#resize(0);
  }

  #index(offset: number): number {
    const at = this.#head + offset;
    return at < this.#capacity ? at : at - this.#capacity;
  }

  /** Makes room for `capacity` events. Arrays of just that length: those that grow by themselves take far more. */
  #resize(capacity: number): void {
    if (capacity === this.#capacity) return;
    const texts = new Array<string>(2 * capacity).fill('');
    const times = new Array<number>(2 * capacity).fill(Number.NaN);
    for (let offset = 0; offset < this.#length; offset += 1) {
      const from = 2 * this.#index(offset);
      texts[2 * offset] = this.#texts[from]!;
      texts[2 * offset + 1] = this.#texts[from + 1]!;
      times[2 * offset] = this.#times[from]!;
      times[2 * offset + 1] = this.#times[from + 1]!;
    }
    this.#texts = texts;
    this.#times = times;
    this.#head = 0;
    this.#capacity = capacity;
  }
}

/** Bytes of memory of a text: one a character when all are ASCII, else two, though UTF-8 may take fewer or more. */
function memoryOf({ length }: string, bytes: number): number {
  return bytes === length ? length : MEMORY_BYTES * length;
}
