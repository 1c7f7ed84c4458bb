/** This many blocks … */
const BLOCKS = 5;
/** … within this time, in milliseconds, make a repeat offender. */
const WINDOW_MS = 60_000;
/** Maximum remembered clients; beyond that, the one with the oldest last block is forgotten. */
const MAX_CLIENTS = 10_000;

interface Record {
  /** Times of the latest blocks, oldest first, at most {@link BLOCKS}. */
  readonly times: number[];
  reported: boolean;
}

/** Counts the blocked messages of each client, in bounded memory. */
export class Offenders {
  /** Ordered by the time of the last block. */
  readonly #records = new Map<string, Record>();

  /** The number of remembered clients. */
  get size(): number {
    return this.#records.size;
  }

  /**
   * Records a blocked message of the client at `now`, in milliseconds. Returns true if it was the fifth within a
   * minute; then not again until the client has stayed below that.
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

  /** Forgets a disconnected client. */
  forget(clientId: string): void {
    this.#records.delete(clientId);
  }
}
