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

/** The retention of a stream that never had an event. */
const NOTHING: Retention = { size: 0, ttlMs: 0 };

/** What counting the oldest events of a ring has found. */
interface Counted {
  events: number;
  characters: number;
  /** Of UTF-8. */
  bytes: number;
  /** Their texts in memory, in bytes. */
  memory: number;
}

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
  /** The retention of the last publication, or a later one. */
  retention: Retention = NOTHING;
  readonly #holdings: Holdings;
  /** Text and sender of each event. */
  #texts: string[] = [];
  /** When each event was accepted, by the sender's node, and when it arrived here, by the clock used for expiry. */
  #times: number[] = [];
  /** Index of the oldest event kept. */
  #head = 0;
  #length = 0;
  /** Null until events are counted, as for most streams. */
  #counted: Counted | null = null;
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
    const { bytes: most = Number.POSITIVE_INFINITY, keepLast = false } = retention;
    const size = keepLast ? Math.max(1, retention.size) : retention.size;
    this.sequence += 1;
    this.retention = retention;
    if (size <= 0) {
      this.clear();
      return;
    }
    while (this.#length >= size) this.evict();
    // A concatenated string stays a tree of its parts until a character is read; kept for hours, the tree would cost
    // several times the text and slow every garbage collection.
    if (text.charCodeAt(0) !== OPENING_BRACE) throw new TypeError('An event is a JSON object.');
    const estimated = this.#estimated + text.length;
    const isNear = estimated > MAX_ESTIMATED || this.countedBytes + UTF8_BYTES * estimated > most;
    if (isNear) {
      this.measure();
      const bytes = Buffer.byteLength(text);
      while (this.#length > 0 && this.countedBytes + bytes > most) this.evict();
      if (bytes > most && !keepLast) return;
    }
    const { capacity } = this;
    if (this.#length === capacity) this.resize(Math.min(size, Math.max(1, capacity * 2)));
    const at = this.indexOf(this.#length);
    this.#texts[at] = text;
    this.#texts[at + 1] = from;
    this.#times[at] = time;
    this.#times[at + 1] = now;
    this.#length += 1;
    this.#estimated += text.length;
    this.#holdings.messages += 1;
    this.#holdings.bytes += text.length;
    if (isNear) this.measure();
  }

  /** The lowest sequence kept, one more than the last if none is. Ignores age: call {@link expire} first. */
  get oldest(): number {
    return this.sequence - this.#length + 1;
  }

  /** Applies other limits, and evicts what they do not allow. */
  retain(now: number, retention: Retention): void {
    const { size, bytes: most = Number.POSITIVE_INFINITY } = retention;
    this.expire(now);
    this.retention = retention;
    const { spared } = this;
    while (this.#length > Math.max(size, spared)) this.evict();
    if (Number.isFinite(most)) this.measure();
    while (this.#length > spared && this.countedBytes > most) this.evict();
    this.expire(now);
  }

  get length(): number {
    return this.#length;
  }

  /** Upper bound of the memory the events take, in bytes; nearly exact after {@link measure}. */
  get weight(): number {
    return EVENT_OVERHEAD * this.#length + MEMORY_BYTES * this.#estimated + (this.#counted?.memory ?? 0);
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** UTF-8 bytes of the texts; an uncounted character counts as one byte. */
  get bytes(): number {
    return this.countedBytes + this.#estimated;
  }

  /** Whether its only event is one exempt from the limits. */
  get isSpared(): boolean {
    return this.#length > 0 && this.#length === this.spared;
  }

  /** Evicts at most `most` events older than their time to live; returns how many were evicted. */
  expire(now: number, most: number = Number.POSITIVE_INFINITY): number {
    let expired = 0;
    const { spared } = this;
    const { ttlMs } = this.retention;
    while (this.#length > spared && expired < most && now - this.#times[this.#head + 1]! >= ttlMs) {
      this.evict();
      expired += 1;
    }
    if (this.#length < this.capacity / 4) this.resize(this.#length * 2);
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
      const at = this.indexOf(sequence - oldest);
      const time = this.#times[at]!;
      if (time < fromTime || time > toTime) continue;
      found.push({ sequence, time, from: this.#texts[at + 1]!, text: this.#texts[at]! });
    }
    return backwards ? found.reverse() : found;
  }

  /** Counts uncounted events, oldest first, until it has processed `most` characters; returns the number processed. */
  measure(most: number = Number.POSITIVE_INFINITY): number {
    const before = this.#estimated;
    this.#counted ??= { events: 0, characters: 0, bytes: 0, memory: 0 };
    const counted = this.#counted;
    for (; counted.events < this.#length && before - this.#estimated < most; counted.events += 1) {
      const text = this.#texts[this.indexOf(counted.events)]!;
      const bytes = Buffer.byteLength(text);
      this.#estimated -= text.length;
      counted.characters += text.length;
      counted.bytes += bytes;
      counted.memory += memoryOf(text, bytes);
    }
    return before - this.#estimated;
  }

  /** Evicts the oldest event, if there is one. */
  evict(): void {
    if (this.#length === 0) return;
    const at = this.#head;
    const text = this.#texts[at]!;
    this.#texts[at] = '';
    this.#texts[at + 1] = '';
    this.#head = this.indexOf(1);
    this.#length -= 1;
    this.#holdings.messages -= 1;
    this.#holdings.bytes -= text.length;
    const counted = this.#counted;
    if (counted === null || counted.events === 0) {
      this.#estimated -= text.length;
      return;
    }
    // As long as everything counted is ASCII, no recount is needed.
    const bytes = counted.bytes === counted.characters ? text.length : Buffer.byteLength(text);
    counted.events -= 1;
    counted.characters -= text.length;
    counted.bytes -= bytes;
    counted.memory -= memoryOf(text, bytes);
  }

  /** Evicts everything. */
  clear(): void {
    while (this.#length > 0) this.evict();
    this.resize(0);
  }

  // The methods below are not `#private`: with such methods every object gets a hidden field, of 8 bytes a stream.

  private get countedBytes(): number {
    return this.#counted?.bytes ?? 0;
  }

  /** Number of events exempt from the limits: 1 when the last event is kept, else 0. */
  private get spared(): number {
    return this.retention.keepLast === true ? 1 : 0;
  }

  /** The number of events that fit into the arrays. */
  private get capacity(): number {
    return this.#texts.length / 2;
  }

  /** The index of an event by its distance from the oldest one, at most the capacity. */
  private indexOf(offset: number): number {
    const at = this.#head + 2 * offset;
    return at < this.#texts.length ? at : at - this.#texts.length;
  }

  /** Resizes to `capacity` events. The arrays have exactly that length: growing arrays take far more. */
  private resize(capacity: number): void {
    if (capacity === this.capacity) return;
    const texts = new Array<string>(2 * capacity).fill('');
    const times = new Array<number>(2 * capacity).fill(Number.NaN);
    for (let offset = 0; offset < this.#length; offset += 1) {
      const from = this.indexOf(offset);
      texts[2 * offset] = this.#texts[from]!;
      texts[2 * offset + 1] = this.#texts[from + 1]!;
      times[2 * offset] = this.#times[from]!;
      times[2 * offset + 1] = this.#times[from + 1]!;
    }
    this.#texts = texts;
    this.#times = times;
    this.#head = 0;
  }
}

/** Memory of a text in bytes: one per character if all are ASCII, else two, whatever its UTF-8 size. */
function memoryOf({ length }: string, bytes: number): number {
  return bytes === length ? length : MEMORY_BYTES * length;
}
