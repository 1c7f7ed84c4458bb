/** Parts that grow and shrink alone, so that no insert ever rehashes more than a small share of the ids. */
const SEGMENTS = 256;
const SMALLEST = 8;
/** Words of a slot: three of fingerprint, the sequence in two, the second in which it lapses (0: never used). */
const WORDS = 6;
const HIGH_WORD = 2 ** 32;
const LAST_SECOND = HIGH_WORD - 1;

interface Segment {
  slots: Uint32Array;
  /** Slots that are not free: live ones and lapsed ones that nothing has taken over yet. */
  used: number;
}

/**
 * Remembers for a while which ids were seen, and a number with each: the idempotence window of PROTOCOL section 6.
 *
 * At 100,000 messages a second two minutes are 12 million ids. As strings in a `Map` they would cost over a gigabyte
 * of heap, a pause of half a second whenever the map doubles, and the map's limit of 2^24 entries would be near. So an
 * id is kept as a fingerprint of 96 bits in typed arrays outside the heap, 24 bytes a slot. Two different ids are taken
 * for one another once in 2^96 / (ids remembered) lookups; the seeds are drawn per process, so that nobody can compute
 * a pair ahead.
 */
export class RecentIds {
  readonly #segments: (Segment | undefined)[] = new Array(SEGMENTS).fill(undefined);
  readonly #seeds = crypto.getRandomValues(new Int32Array(3)) as Int32Array & { 0: number; 1: number; 2: number };
  readonly #origin: number;
  #a = 0;
  #b = 0;
  #c = 0;
  /** The hashes after the identity of the last call: messages of one sender come in bursts. */
  readonly #sender = { scope: -1, identity: '', a: 0, b: 0, c: 0 };
  /** The next segment that {@link sweep} looks at. */
  #hand = 0;
  #bytes = 0;

  /** `now`: the current time in milliseconds, from which time is counted. */
  constructor(now: number) {
    this.#origin = now;
  }

  /**
   * Remembers (`scope`, `identity`, `id`) with `value` for at least `windowMs`, at most a second longer. Answers -1, or
   * the value of the one already there, which then stays as it is.
   */
  claim(scope: number, identity: string, id: string, value: number, now: number, windowMs: number): number {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segment(this.#b & (SEGMENTS - 1));
    const at = this.#probe(segment, this.#second(now));
    const { slots } = segment;
    if (at < 0) return this.#value(slots, ~at);
    if (slots[at + 5] === 0) segment.used += 1;
    slots[at] = this.#a;
    slots[at + 1] = this.#b;
    slots[at + 2] = this.#c;
    slots[at + 3] = value >>> 0;
    slots[at + 4] = value / HIGH_WORD;
    slots[at + 5] = this.#second(now + windowMs);
    if (segment.used * WORDS * 8 > slots.length * 5) this.#rebuild(segment, this.#second(now));
    return -1;
  }

  /** The value remembered with (`scope`, `identity`, `id`), -1 when there is none. */
  find(scope: number, identity: string, id: string, now: number): number {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segments[this.#b & (SEGMENTS - 1)];
    if (segment === undefined) return -1;
    const at = this.#probe(segment, this.#second(now));
    return at < 0 ? this.#value(segment.slots, ~at) : -1;
  }

  /** Remembers what is remembered for `windowMs` from now at least. */
  extend(scope: number, identity: string, id: string, now: number, windowMs: number): void {
    this.#fingerprint(scope, identity, id);
    const segment = this.#segments[this.#b & (SEGMENTS - 1)];
    if (segment === undefined) return;
    const at = this.#probe(segment, this.#second(now));
    if (at < 0) segment.slots[~at + 5] = Math.max(segment.slots[~at + 5]!, this.#second(now + windowMs));
  }

  /** Gives back the memory of what lapsed, a few segments a call; 32 calls go round once. */
  sweep(now: number): void {
    const second = this.#second(now);
    for (let step = 0; step < SEGMENTS / 32; step += 1) {
      const index = this.#hand;
      this.#hand = (index + 1) % SEGMENTS;
      const segment = this.#segments[index];
      if (segment === undefined) continue;
      const live = countLive(segment.slots, second);
      if (live === 0) {
        this.#segments[index] = undefined;
        this.#bytes -= segment.slots.byteLength;
      } else if (live * WORDS * 8 < segment.slots.length) this.#rebuild(segment, second);
    }
  }

  /** Bytes of the slots, free ones included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Seconds are counted from 1: 0 marks a free slot. What would end later than a slot can hold ends with the last. */
  #second(now: number): number {
    return Math.min(LAST_SECOND, Math.max(1, Math.floor((now - this.#origin) / 1000) + 1));
  }

  #segment(index: number): Segment {
    let segment = this.#segments[index];
    if (segment === undefined) {
      segment = { slots: new Uint32Array(SMALLEST * WORDS), used: 0 };
      this.#segments[index] = segment;
      this.#bytes += segment.slots.byteLength;
    }
    return segment;
  }

  #rebuild(segment: Segment, second: number): void {
    this.#bytes -= segment.slots.byteLength;
    rebuild(segment, second);
    this.#bytes += segment.slots.byteLength;
  }

  #value(slots: Uint32Array, at: number): number {
    return slots[at + 3]! + slots[at + 4]! * HIGH_WORD;
  }

  /** Where the fingerprint is, as its complement; else where it may be put: the first slot that is free or lapsed. */
  #probe({ slots }: Segment, second: number): number {
    const a = this.#a;
    let at = (a & (slots.length / WORDS - 1)) * WORDS;
    let vacant = -1;
    for (;;) {
      const lapse = slots[at + 5]!;
      if (lapse === 0) return vacant < 0 ? at : vacant;
      if (lapse < second) {
        if (vacant < 0) vacant = at;
      } else if (slots[at] === a && slots[at + 1] === this.#b && slots[at + 2] === this.#c) {
        return ~at;
      }
      at += WORDS;
      if (at === slots.length) at = 0;
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
    this.#a = avalanche(this.#a);
    this.#b = avalanche(this.#b);
    this.#c = avalanche(this.#c);
  }

  /**
   * Three multiplicative hashes side by side, two code units a step. Every step is a bijection of the state;
   * multiplication carries differences upwards only, rotation brings them down again. The length goes first, so that
   * nothing can be moved across the border of two texts.
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

/** Spreads the high bits, where multiplication gathers the differences, over the low ones that choose the slot. */
function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

function countLive(slots: Uint32Array, second: number): number {
  let live = 0;
  for (let at = 5; at < slots.length; at += WORDS) if (slots[at]! >= second) live += 1;
  return live;
}

/** Moves what is live into slots of which it fills between a fifth and two fifths. */
function rebuild(segment: Segment, second: number): void {
  const old = segment.slots;
  const live = countLive(old, second);
  let capacity = SMALLEST;
  while (capacity * 2 < live * 5) capacity *= 2;
  const slots = new Uint32Array(capacity * WORDS);
  for (let from = 0; from < old.length; from += WORDS) {
    if (old[from + 5]! < second) continue;
    let to = (old[from]! & (capacity - 1)) * WORDS;
    while (slots[to + 5] !== 0) to = to + WORDS === slots.length ? 0 : to + WORDS;
    for (let word = 0; word < WORDS; word += 1) slots[to + word] = old[from + word]!;
  }
  segment.slots = slots;
  segment.used = live;
}
