/** A set of sequences as ranges, both ends included, in ascending order; adjacent ranges are merged. */
export class Ranges {
  private readonly pairs: [number, number][];

  constructor(pairs: readonly (readonly [number, number])[] = []) {
    this.pairs = pairs.map(([from, to]) => [from, to]);
  }

  /** The ranges, for a record. */
  get all(): readonly (readonly [number, number])[] {
    return this.pairs;
  }

  has(sequence: number): boolean {
    const pair = this.pairs[this.placeOf(sequence)];
    return pair !== undefined && pair[0] <= sequence;
  }

  /** Adds `from` to `to`; returns how many of these are new. */
  add(from: number, to: number = from): number {
    const first = this.placeOf(from - 1);
    let end = first;
    let low = from;
    let high = to;
    let known = 0;
    for (; end < this.pairs.length; end += 1) {
      const [start, stop] = this.pairs[end] as [number, number];
      if (start > to + 1) break;
      low = Math.min(low, start);
      high = Math.max(high, stop);
      known += Math.max(0, Math.min(stop, to) - Math.max(start, from) + 1);
    }
    this.pairs.splice(first, end - first, [low, high]);
    return to - from + 1 - known;
  }

  /** Removes the range that begins right after `floor`, and returns its end; `floor` when there is none. */
  advance(floor: number): number {
    const first = this.pairs[0];
    if (first === undefined || first[0] > floor + 1) return floor;
    this.pairs.shift();
    return first[1];
  }

  /** Number of sequences above `floor`. */
  countAbove(floor: number): number {
    let count = 0;
    for (const [from, to] of this.pairs) count += Math.max(0, to - Math.max(from - 1, floor));
    return count;
  }

  clear(): void {
    this.pairs.length = 0;
  }

  /** The index of the first range that does not end before `sequence`. */
  private placeOf(sequence: number): number {
    let low = 0;
    let high = this.pairs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.pairs[middle] as [number, number])[1] < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
