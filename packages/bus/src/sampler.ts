/** One call in this many is timed: enough for a distribution at little cost. */
const EVERY = 64;

/** Times a sample of calls. The others cost one comparison. */
export class Sampler {
  /** Called with the duration of a timed call, in seconds; null: nothing is timed. */
  observe: ((seconds: number) => void) | null = null;
  private left = 1;

  /** The start time for {@link end}; 0 when this call is not timed. */
  begin(): number {
    if (this.observe === null) return 0;
    this.left -= 1;
    if (this.left > 0) return 0;
    this.left = EVERY;
    return performance.now();
  }

  end(began: number): void {
    if (began !== 0) this.observe?.((performance.now() - began) / 1000);
  }
}
