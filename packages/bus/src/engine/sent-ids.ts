import { IDEMPOTENCE_WINDOW_MS } from '@arqonbus/protocol';
import type { EngineEvents } from './engine.ts';
import { RecentIds } from './recent-ids.ts';

/** Bytes of memory that ids may take that count as sent for longer than usual: some four million of them. */
const MOST_LASTING_BYTES = 268_435_456;
const TELL_INTERVAL_MS = 60_000;
/** The scope of keys that were marked; streams count from 1. */
const MARKS = 0;

/**
 * The ids that count as sent, and keys that were marked. Ids that count for longer than 120 s are kept apart, so that
 * the many others cost what they always do, and within a bound: what finds no room counts for 120 s, which is told.
 */
export class SentIds {
  readonly #recent: RecentIds;
  readonly #lasting: RecentIds;
  readonly #mostBytes: number;
  /** When the last of the lasting ids lapses. */
  #lastingUntil = Number.NEGATIVE_INFINITY;
  #shortened = 0;
  #tellAt = Number.NEGATIVE_INFINITY;

  /** `now`: the current time in milliseconds; `mostBytes`: what the lasting ids may take, 256 MiB when left out. */
  constructor(now: number, mostBytes: number = MOST_LASTING_BYTES) {
    this.#recent = new RecentIds(now);
    this.#lasting = new RecentIds(now);
    this.#mostBytes = mostBytes;
  }

  /**
   * Has an id count as sent for `windowMs`, and remembers its sequence; with 0 nothing is looked for or remembered.
   * Answers -1, or the sequence of the one that counts already, which then stays as it is.
   */
  claim(scope: number, identity: string, id: string, sequence: number, now: number, windowMs: number): number {
    if (windowMs <= 0) return -1;
    if (this.#lastingUntil >= now) {
      const found = this.#lasting.find(scope, identity, id, now);
      if (found >= 0) return found;
    }
    if (windowMs <= IDEMPOTENCE_WINDOW_MS) return this.#recent.claim(scope, identity, id, sequence, now, windowMs);
    const found = this.#recent.find(scope, identity, id, now);
    if (found >= 0) return found;
    if (this.#lasting.bytes >= this.#mostBytes) {
      this.#shortened += 1;
      return this.#recent.claim(scope, identity, id, sequence, now, IDEMPOTENCE_WINDOW_MS);
    }
    // Lapses are counted in whole seconds, and end with them.
    this.#lastingUntil = Math.max(this.#lastingUntil, now + windowMs + 1_000);
    return this.#lasting.claim(scope, identity, id, sequence, now, windowMs);
  }

  /** The sequence of an id that counts as sent, -1 when it does not. */
  find(scope: number, identity: string, id: string, now: number): number {
    const found = this.#recent.find(scope, identity, id, now);
    return found >= 0 || this.#lastingUntil < now ? found : this.#lasting.find(scope, identity, id, now);
  }

  /** Marks a key for `windowMs`; false when it was already. */
  mark(key: string, now: number, windowMs: number): boolean {
    return this.#recent.claim(MARKS, key, '', 0, now, windowMs) < 0;
  }

  /** Gives back the memory of what lapsed, a few steps a call. */
  sweep(now: number): void {
    this.#recent.sweep(now);
    this.#lasting.sweep(now);
  }

  /** Tells once a minute at most that ids found no room. */
  tell(now: number, warning: NonNullable<EngineEvents['warning']>): void {
    if (this.#shortened === 0 || now < this.#tellAt) return;
    warning(
      `${this.#shortened} messages of channels with long "dedupe_seconds" count as sent for ` +
        `${IDEMPOTENCE_WINDOW_MS / 1_000} s only, since the ids remembered take ${this.#mostBytes} bytes: lower the setting.`,
    );
    this.#shortened = 0;
    this.#tellAt = now + TELL_INTERVAL_MS;
  }
}
