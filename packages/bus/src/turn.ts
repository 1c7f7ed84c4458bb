/** Milliseconds of work before yielding. */
const SLICE_MS = 2;
/** How many small steps pass between two clock checks. */
const CLOCK_EVERY = 64;

/**
 * Splits long work into slices: `if (slice.isOver) await slice.next()` in its loop yields to sockets and other
 * connections every 2 ms.
 */
export class Slice {
  private began = performance.now();
  private steps = 0;

  /** Counts one step; true when the slice is used up. */
  get isOver(): boolean {
    this.steps += 1;
    return this.steps % CLOCK_EVERY === 0 && performance.now() - this.began > SLICE_MS;
  }

  /** Resolves in a later turn of the event loop. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.began = performance.now();
  }
}
