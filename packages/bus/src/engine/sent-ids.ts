import { IDEMPOTENCE_WINDOW_MS } from '@arqonbus/protocol';
import type { EngineEvents } from './engine.ts';
import { RecentIds } from './recent-ids.ts';

/** Memory limit in bytes for ids with a longer than usual window: about four million ids. */
const MOST_LASTING_BYTES = 268_435_456;
const TELL_INTERVAL_MS = 60_000;
/** The scope of marked keys; stream scopes start at 1. */
const MARKS = 0;

/**
 * Deduplicated ids and marked keys. Ids with a window over 120 s are kept separately within a memory limit, so that the
 * majority cost no more than usual; an id that does not fit gets 120 s, and a warning is raised.
 */
export class SentIds {
  readonly #recent: RecentIds;
  readonly #lasting: RecentIds;
  readonly #mostBytes: number;
  /** When the last of the lasting ids expires. */
  #lastingUntil = Number.NEGATIVE_INFINITY;
  #shortened = 0;
  #tellAt = Number.NEGATIVE_INFINITY;

  /** `now`: the current time in milliseconds; `mostBytes`: memory limit of the lasting ids, default 256 MiB. */
  constructor(now: number, mostBytes: number = MOST_LASTING_BYTES) {
    this.#recent = new RecentIds(now);
    this.#lasting = new RecentIds(now);
    this.#mostBytes = mostBytes;
  }

  /**
   * Remembers an id and its sequence for `windowMs`; with 0 nothing is checked or remembered. Returns -1, or the
   * sequence of an existing entry, which is left unchanged.
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
    // Expiry is counted in whole seconds, rounded up.
    this.#lastingUntil = Math.max(this.#lastingUntil, now + windowMs + 1_000);
    return this.#lasting.claim(scope, identity, id, sequence, now, windowMs);
  }

  /** The sequence of a remembered id, -1 if it is not remembered. */
  find(scope: number, identity: string, id: string, now: number): number {
    const found = this.#recent.find(scope, identity, id, now);
    return found >= 0 || this.#lastingUntil < now ? found : this.#lasting.find(scope, identity, id, now);
  }

  /** Marks a key for `windowMs`; returns false if it already was. */
  mark(key: string, now: number, windowMs: number): boolean {
    return this.#recent.claim(MARKS, key, '', 0, now, windowMs) < 0;
  }

  /** Frees the memory of expired ids, a few steps per call. */
  sweep(now: number): void {
    this.#recent.sweep(now);
    this.#lasting.sweep(now);
  }

  /** Warns, at most once a minute, that ids did not fit. */
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
