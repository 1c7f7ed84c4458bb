/** So many blocks … */
const BLOCKS = 5;
/** … within so many milliseconds make a repeat offender. */
const WINDOW_MS = 60_000;
/** Clients remembered; beyond that the one whose last block is oldest is forgotten. */
const MAX_CLIENTS = 10_000;

interface Record {
  /** Times of the last blocks, oldest first, at most {@link BLOCKS}. */
  readonly times: number[];
  reported: boolean;
}

/** Counts the blocked messages of each client, in bounded memory. */
export class Offenders {
  /** In the order of the last block. */
  readonly #records = new Map<string, Record>();

  /** How many clients are remembered. */
  get size(): number {
    return this.#records.size;
  }

  /**
   * Notes that a message of the client was blocked at `now`, in milliseconds. True when that made it the fifth within a
   * minute; then not again before the client has kept below that.
   */
  blocked(clientId: string, now: number): boolean {
    const record = this.#records.get(clientId) ?? { times: [], reported: false };
    this.#records.delete(clientId);
    this.#records.set(clientId, record);
    if (this.#records.size > MAX_CLIENTS) this.#records.delete(this.#records.keys().next().value as string);
    record.times.push(now);
    if (record.times.length > BLOCKS) record.times.shift();
    const repeated = record.times.length === BLOCKS && now - record.times[0]! <= WINDOW_MS;
    const first = repeated && !record.reported;
    record.reported = repeated;
    return first;
  }

  /** Forgets a client that has gone. */
  forget(clientId: string): void {
    this.#records.delete(clientId);
  }
}
