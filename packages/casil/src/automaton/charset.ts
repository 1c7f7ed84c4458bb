/** Code points as sorted, disjoint, inclusive pairs: `[lo, hi, lo, hi, …]`. */
export type CharSet = readonly number[];

export const LAST_CODE_POINT = 0x10ffff;

/**
 * The distinct character sets of all patterns with a common alphabet. Patterns repeat the same few sets hundreds of
 * times (`[a-z]{200}` compiles to 200 copies), so edges contain a number instead of the set.
 */
export class CharSets {
  readonly all: CharSet[] = [];
  readonly #ids = new Map<string, number>();

  /** The number of `set`, the same for equal sets. */
  intern(set: CharSet): number {
    const key = set.join();
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.all.length;
      this.all.push(set);
      this.#ids.set(key, id);
    }
    return id;
  }
}
