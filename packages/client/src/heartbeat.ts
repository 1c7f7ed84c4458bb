import type { Clock } from './clock.ts';

/** Grace after a missed ping of the server, and time for the answer to a probe; milliseconds. */
const GRACE_MS = 5_000;
const PROBE_MS = 10_000;

/**
 * Notices a line that is dead without having been closed. The server pings (PROTOCOL section 1), so silence for longer
 * than its interval is suspect; since browsers hide pings, a probe is sent before the line is given up.
 *
 * One timer that is moved only when it fires: a busy line costs one assignment a frame.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #probe: () => void;
  readonly #dead: () => void;
  readonly #silenceMs: number;
  #lastAlive: number;
  #timer: unknown;
  #probed = false;

  constructor(clock: Clock, pingIntervalMs: number, probe: () => void, dead: () => void) {
    this.#clock = clock;
    this.#silenceMs = pingIntervalMs + GRACE_MS;
    this.#probe = probe;
    this.#dead = dead;
    this.#lastAlive = clock.now();
    this.#wait(this.#silenceMs);
  }

  alive(): void {
    this.#lastAlive = this.#clock.now();
    this.#probed = false;
  }

  /** Probes at once: the network has changed, or the machine was asleep. */
  suspect(): void {
    if (this.#probed) return;
    this.#probed = true;
    this.#probe();
    this.#wait(PROBE_MS);
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.stop();
    this.#timer = this.#clock.setTimeout(() => this.#check(), ms);
  }

  #check(): void {
    if (this.#probed) {
      this.#dead();
      return;
    }
    const rest = this.#lastAlive + this.#silenceMs - this.#clock.now();
    if (rest > 0) this.#wait(rest);
    else this.suspect();
  }
}
