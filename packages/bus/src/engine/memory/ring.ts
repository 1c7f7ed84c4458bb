import type { HistoryQuery, Retention, StoredEvent } from '../engine.ts';

/** Totals of all rings of an engine; plain numbers that each ring updates. */
export interface Holdings {
  messages: number;
  /** In characters of text, equal to bytes for ASCII text. */
  bytes: number;
}

/** Memory cost of an event besides its text: the string's header, its array slots, its share of free slots. */
const EVENT_OVERHEAD = 64;
/** Maximum UTF-8 bytes per character (UTF-16 unit), and maximum bytes of memory. */
const UTF8_BYTES = 3;
const MEMORY_BYTES = 2;
/** Maximum number of uncounted characters, so that counting them takes less than a millisecond. */
const MAX_ESTIMATED = 1_048_576;
const OPENING_BRACE = 0x7b;

/**
 * The history of one stream: its newest events, in two arrays, so that an event costs its text but no object of its
 * own. Sequences are consecutive, so an event's position implies its sequence.
 *
 * Counting UTF-8 bytes requires scanning the text. It is deferred until an upper bound is no longer sufficient, which
 * for most events is never; near a limit, bytes are counted exactly.
 */
export class Ring {
  /** The last sequence assigned. */
  sequence = 0;
  /** Upper bound of the memory the events take, in bytes; nearly exact after {@link measure}. */
  weight = 0;
  readonly #holdings: Holdings;
  /** Text and sender of each event. */
  #texts: string[] = [];
  /** When each event was accepted, by the sender's node, and when it arrived here, by the clock used for expiry. */
  #times: number[] = [];
  #capacity = 0;
  /** Index of the oldest event kept. */
  #head = 0;
  #length = 0;
  #ttlMs = 0;
  /** Number of events exempt from the limits: 1 when the last event is kept, else 0. */
  #spared = 0;
  /** The number of counted events, starting with the oldest; their characters and their UTF-8 bytes. */
  #counted = 0;
  #countedCharacters = 0;
  #countedBytes = 0;
  /** Characters of the uncounted events. */
  #estimated = 0;

  constructor(holdings: Holdings) {
    this.#holdings = holdings;
  }

  /**
   * Appends the event with the next sequence, accepted at `time` and received at `now`, as `retention` allows, and
   * evicts what it no longer allows.
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
    // A concatenated string stays a tree of its parts until a character is read; kept for hours, the tree would cost
    // several times the text and slow every garbage collection.
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

  /** The lowest sequence kept, one more than the last if none is. Ignores age: call {@link expire} first. */
  get oldest(): number {
    return this.sequence - this.#length + 1;
  }

  /** Applies other limits, and evicts what they do not allow. */
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

  /** UTF-8 bytes of the texts; an uncounted character counts as one byte. */
  get bytes(): number {
    return this.#countedBytes + this.#estimated;
  }

  /** Whether its only event is one exempt from the limits. */
  get isSpared(): boolean {
    return this.#length > 0 && this.#length === this.#spared;
  }

  /** Evicts at most `most` events older than their time to live; returns how many were evicted. */
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

  /** Counts uncounted events, oldest first, until it has processed `most` characters; returns the number processed. */
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

  /** Evicts the oldest event, if there is one. */
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
    // As long as everything counted is ASCII, no recount is needed.
    const isAscii = this.#countedBytes === this.#countedCharacters;
    const bytes = isAscii ? text.length : Buffer.byteLength(text);
    this.#counted -= 1;
    this.#countedCharacters -= text.length;
    this.#countedBytes -= bytes;
    this.weight -= memoryOf(text, bytes);
  }

  /** Evicts everything. */
  clear(): void {
    while (this.#length > 0) this.evict();
    this.#resize(0);
  }

  #index(offset: number): number {
    const at = this.#head + offset;
    return at < this.#capacity ? at : at - this.#capacity;
  }

  /** Resizes to `capacity` events. The arrays have exactly that length: growing arrays take far more. */
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

/** Memory of a text in bytes: one per character if all are ASCII, else two, whatever its UTF-8 size. */
function memoryOf({ length }: string, bytes: number): number {
  return bytes === length ? length : MEMORY_BYTES * length;
}
