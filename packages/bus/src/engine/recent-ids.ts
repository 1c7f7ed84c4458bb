/** Independently growing and shrinking segments, so that an insert rehashes only a small share of the ids. */
const SEGMENTS = 256;
const SMALLEST = 8;
/** Words per slot besides its tag: two of fingerprint, two of sequence, one with the expiry second. */
const WORDS = 5;
/** Where the expiry second is among them. */
const EXPIRY = 4;
const HIGH_WORD = 2 ** 32;
const LAST_SECOND = HIGH_WORD - 1;

interface Segment {
  /** The first word of each slot's fingerprint; 0: free. A search reads only these, which are close together. */
  tags: Uint32Array;
  slots: Uint32Array;
  /** Slots in use: live ones, and expired ones not yet removed. */
  used: number;
}

/**
 * Remembers recently seen ids, with a number each: the idempotence window of PROTOCOL section 6.
 *
 * At 100,000 messages per second, two minutes are 12 million ids. As strings in a `Map` they would cost over a gigabyte
 * of heap, a half-second pause whenever the map doubles, and come close to the map's limit of 2^24 entries. So an id is
 * kept as a 96-bit fingerprint in typed arrays outside the heap, 24 bytes per slot. Two different ids collide once in
 * 2^96 / (ids remembered) lookups; the seeds are random per process, so that nobody can compute a collision in advance.
 */
export class RecentIds {
  readonly #segments: (Segment | undefined)[] = new Array(SEGMENTS).fill(undefined);
  readonly #seeds = crypto.getRandomValues(new Int32Array(3)) as Int32Array & { 0: number; 1: number; 2: number };
  readonly #origin: number;
  #a = 0;
  #b = 0;
  #c = 0;
  /** Hash state after the last call's identity: messages of one sender come in bursts. */
  readonly #sender = { scope: -1, identity: '', a: 0, b: 0, c: 0 };
  /** The next segment for {@link sweep}. */
  #hand = 0;
  #bytes = 0;

  /** `now`: the current time in milliseconds; times are stored relative to it. */
  constructor(now: number) {
    this.#origin = now;
  }

  /**
   * Remembers (`scope`, `identity`, `id`) with `value` for at least `windowMs`, at most a second longer. Returns -1, or
   * the value of an existing entry, which is left unchanged.
   */
  claim(scope: number, identity: string, id: string, value: number, now: number, windowMs: number): number {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segment(this.#b & (SEGMENTS - 1));
    const index = this.#probe(segment, this.#second(now));
    const { tags, slots } = segment;
    if (index < 0) return valueAt(slots, ~index);
    const at = index * WORDS;
    if (tags[index] === 0) segment.used += 1;
    tags[index] = this.#a;
    slots[at] = this.#b;
    slots[at + 1] = this.#c;
    slots[at + 2] = value >>> 0;
    slots[at + 3] = value / HIGH_WORD;
    slots[at + 4] = this.#second(now + windowMs);
    if (segment.used * 8 > tags.length * 5) this.#rebuild(segment, this.#second(now));
    return -1;
  }

  /** The value remembered with (`scope`, `identity`, `id`), -1 when there is none. */
  find(scope: number, identity: string, id: string, now: number): number {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segments[this.#b & (SEGMENTS - 1)];
    if (segment === undefined) return -1;
    const index = this.#probe(segment, this.#second(now));
    return index < 0 ? valueAt(segment.slots, ~index) : -1;
  }

  /** Extends an existing entry to at least `windowMs` from now. */
  extend(scope: number, identity: string, id: string, now: number, windowMs: number): void {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segments[this.#b & (SEGMENTS - 1)];
    if (segment === undefined) return;
    const index = this.#probe(segment, this.#second(now));
    if (index >= 0) return;
    const at = ~index * WORDS + EXPIRY;
    segment.slots[at] = Math.max(segment.slots[at]!, this.#second(now + windowMs));
  }

  /** Frees the memory of expired ids, a few segments per call; 32 calls cover all segments. */
  sweep(now: number): void {
    const second = this.#second(now);
    for (let step = 0; step < SEGMENTS / 32; step += 1) {
      const index = this.#hand;
      this.#hand = (index + 1) % SEGMENTS;
      const segment = this.#segments[index];
      if (segment === undefined) continue;
      const live = countLive(segment, second);
      if (live === 0) {
        this.#segments[index] = undefined;
        this.#bytes -= bytesOf(segment);
      } else if (live * 8 < segment.tags.length) this.#rebuild(segment, second);
    }
  }

  /** Bytes of the slots, including free ones. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Seconds count from 1, since 0 marks a free slot. Expiries beyond a slot's range are clamped to the last second. */
  #second(now: number): number {
    return Math.min(LAST_SECOND, Math.max(1, Math.floor((now - this.#origin) / 1000) + 1));
  }

  #segment(index: number): Segment {
    let segment = this.#segments[index];
    if (segment === undefined) {
      segment = { tags: new Uint32Array(SMALLEST), slots: new Uint32Array(SMALLEST * WORDS), used: 0 };
      this.#segments[index] = segment;
      this.#bytes += bytesOf(segment);
    }
    return segment;
  }

  #rebuild(segment: Segment, second: number): void {
    this.#bytes -= bytesOf(segment);
    rebuild(segment, second);
    this.#bytes += bytesOf(segment);
  }

  /** The fingerprint's slot, as its complement; otherwise the slot to insert it: a free one, or its own expired one. */
  #probe({ tags, slots }: Segment, second: number): number {
    const a = this.#a;
    const last = tags.length - 1;
    for (let index = a & last; ; index = (index + 1) & last) {
      const tag = tags[index];
      if (tag === 0) return index;
      if (tag !== a) continue;
      const at = index * WORDS;
      if (slots[at] !== this.#b || slots[at + 1] !== this.#c) continue;
      return slots[at + EXPIRY]! < second ? index : ~index;
    }
  }

  #fingerprint(scope: number, identity: string, id: string): void {
    const sender = this.#sender;
    if (scope === sender.scope && identity === sender.identity) {
      this.#a = sender.a;
      this.#b = sender.b;
      this.#c = sender.c;
    } else {
      this.#a = this.#seeds[0] ^ scope;
      this.#b = this.#seeds[1] ^ scope;
      this.#c = this.#seeds[2] ^ scope;
      this.#mix(identity);
      sender.scope = scope;
      sender.identity = identity;
      sender.a = this.#a;
      sender.b = this.#b;
      sender.c = this.#c;
    }
    this.#mix(id);
    // 0 marks a free slot.
    this.#a = avalanche(this.#a) || 1;
    this.#b = avalanche(this.#b);
    this.#c = avalanche(this.#c);
  }

  /**
   * Three multiplicative hashes in parallel, two code units per step. Every step is a bijection of the state;
   * multiplication carries differences upwards only, rotation brings them down again. The length is hashed first, so
   * that characters cannot shift from one text to the next.
   */
  #mix(text: string): void {
    const { length } = text;
    let a = Math.imul(this.#a ^ length, 0x9e3779b1);
    let b = Math.imul(this.#b ^ length, 0x85ebca77);
    let c = Math.imul(this.#c ^ length, 0xc2b2ae3d);
    for (let index = 0; index < length; index += 2) {
      const units = text.charCodeAt(index) | (index + 1 < length ? text.charCodeAt(index + 1) << 16 : 0);
      a = Math.imul(a ^ units, 0x9e3779b1);
      b = Math.imul(b ^ units, 0x85ebca77);
      c = Math.imul(c ^ units, 0xc2b2ae3d);
      a = (a << 15) | (a >>> 17);
      b = (b << 13) | (b >>> 19);
      c = (c << 17) | (c >>> 15);
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
  }
}

/** Spreads the high bits, where multiplication gathers the differences, over the low bits that choose the slot. */
function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

function valueAt(slots: Uint32Array, index: number): number {
  const at = index * WORDS;
  return slots[at + 2]! + slots[at + 3]! * HIGH_WORD;
}

function bytesOf({ tags, slots }: Segment): number {
  return tags.byteLength + slots.byteLength;
}

function countLive({ slots }: Segment, second: number): number {
  let live = 0;
  for (let at = EXPIRY; at < slots.length; at += WORDS) if (slots[at]! >= second) live += 1;
  return live;
}

/** Moves live entries into new slots, filled between a fifth and two fifths. */
function rebuild(segment: Segment, second: number): void {
  const { tags: oldTags, slots: old } = segment;
  const live = countLive(segment, second);
  let capacity = SMALLEST;
  while (capacity * 2 < live * 5) capacity *= 2;
  const tags = new Uint32Array(capacity);
  const slots = new Uint32Array(capacity * WORDS);
  for (let index = 0; index < oldTags.length; index += 1) {
    const from = index * WORDS;
    if (old[from + EXPIRY]! < second) continue;
    const tag = oldTags[index]!;
    let place = tag & (capacity - 1);
    while (tags[place] !== 0) place = (place + 1) & (capacity - 1);
    tags[place] = tag;
    const to = place * WORDS;
    for (let word = 0; word < WORDS; word += 1) slots[to + word] = old[from + word]!;
  }
  segment.tags = tags;
  segment.slots = slots;
  segment.used = live;
}
