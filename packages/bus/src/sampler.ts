/** One call in this many is timed: enough for a distribution, too few to cost anything. */
const EVERY = 64;

/** Times a few of many calls. Those that are not timed cost a comparison. */
export class Sampler {
  /** Told how long a timed call took, in seconds; null: nothing is timed. */
  observe: ((seconds: number) => void) | null = null;
  private left = 1;

  /** When this call began, for {@link end}; 0 when it is not one of those that are timed. */
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
