import type { KeyChange, KeyValueStore } from '../engine.ts';

const MOST_CHANGES = 20_000;
const MOST_UNITS = 16 * 1_048_576;

interface Logged {
  readonly number: number;
  readonly change: KeyChange;
  readonly units: number;
}

/**
 * A numbered log of the latest key changes in the spaces that workers watch, so that a worker whose connection broke
 * can receive what it missed.
 */
export class ChangeLog {
  private readonly store: KeyValueStore;
  private readonly most: number;
  private readonly tell: (number: number, change: KeyChange) => void;
  private readonly stops = new Map<string, () => void>();
  private log: Logged[] = [];
  private units = 0;
  private last = 0;

  /** `most`: number of changes kept, 20,000 by default, limited to 16 Mi UTF-16 units in total. */
  constructor(store: KeyValueStore, tell: (number: number, change: KeyChange) => void, most: number = MOST_CHANGES) {
    this.store = store;
    this.tell = tell;
    this.most = most;
  }

  /** The number of the last change. */
  get number(): number {
    return this.last;
  }

  watch(space: string): void {
    if (this.stops.has(space)) return;
    this.stops.set(
      space,
      this.store.watch(space, (change) => this.add(change)),
    );
  }

  /** The changes after a given one, or null if some are no longer kept. */
  since(number: number): readonly { readonly number: number; readonly change: KeyChange }[] | null {
    if (number < this.last - this.log.length) return null;
    return this.log.filter((logged) => logged.number > number);
  }

  stop(): void {
    for (const stop of this.stops.values()) stop();
    this.stops.clear();
  }

  private add(change: KeyChange): void {
    this.last += 1;
    const units = change.key.length + (change.value?.length ?? 0);
    this.log.push({ number: this.last, change, units });
    this.units += units;
    if (this.log.length > this.most || this.units > MOST_UNITS) this.trim();
    this.tell(this.last, change);
  }

  /** Drops the older half at once, so that not every change moves the rest. */
  private trim(): void {
    this.log = this.log.slice(Math.ceil(this.log.length / 2));
    this.units = this.log.reduce((sum, { units }) => sum + units, 0);
  }
}
