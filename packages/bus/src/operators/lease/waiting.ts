import { BusError } from '@arqonbus/protocol';
import type { Clock } from '../../clock.ts';

/** Maximum acquisitions that wait at this node, of one owner and of all. */
const MAX_WAITING_OF_OWNER = 100;
const MAX_WAITING = 10_000;

/**
 * The queue for leases at this node: first come, first served per key, even for requests for several keys, so none
 * starves here. There is no order between nodes.
 */
export class WaitingLine {
  /** For each key, a promise that resolves when all queued requests are done. */
  private readonly ends: Map<string, Promise<unknown>> = new Map();
  private readonly byOwner: Map<string, number> = new Map();
  private count = 0;

  /**
   * Runs `turn` once all earlier requests are done. Rejects with its error, with the reason of `signal`, or with
   * LIMIT_EXCEEDED when too many wait.
   *
   * @param keys unique in the process
   */
  async enter<T>(owner: string, keys: readonly string[], signal: AbortSignal, turn: () => Promise<T>): Promise<T> {
    const ofOwner = this.byOwner.get(owner) ?? 0;
    if (ofOwner >= MAX_WAITING_OF_OWNER || this.count >= MAX_WAITING) throw tooMany(ofOwner);
    this.count += 1;
    this.byOwner.set(owner, ofOwner + 1);
    const ahead = Promise.all(keys.map((key) => this.ends.get(key)));
    const own = race(ahead, signal).then(turn);
    // A request that gives up must not let later ones overtake earlier ones.
    const end = Promise.allSettled([ahead, own]);
    for (const key of keys) this.ends.set(key, end);
    try {
      return await own;
    } finally {
      this.count -= 1;
      const left = (this.byOwner.get(owner) ?? 1) - 1;
      if (left > 0) this.byOwner.set(owner, left);
      else this.byOwner.delete(owner);
      void end.then(() => {
        for (const key of keys) if (this.ends.get(key) === end) this.ends.delete(key);
      });
    }
  }
}

/** Wakes requests that wait for the end of a lease, or for the outcome of one being taken. */
export class LeaseChanges {
  private readonly waiting: Map<string, Set<() => void>> = new Map();

  /** @param lease unique in the process */
  tell(lease: string): void {
    for (const wake of [...(this.waiting.get(lease) ?? [])]) wake();
  }

  /**
   * Resolves when the lease has changed, or after `ms`. Rejects with the reason of `signal`.
   *
   * @param hasChanged called once, when no later change can be missed
   */
  async next(
    lease: string,
    clock: Clock,
    ms: number,
    signal: AbortSignal,
    hasChanged: () => Promise<boolean>,
  ): Promise<void> {
    let wake: () => void = () => {};
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const waiting = this.waiting.get(lease) ?? new Set();
    this.waiting.set(lease, waiting.add(wake));
    const callOff = clock.after(ms, wake);
    try {
      if (await hasChanged()) return;
      await race(changed, signal);
    } finally {
      callOff();
      waiting.delete(wake);
      if (waiting.size === 0 && this.waiting.get(lease) === waiting) this.waiting.delete(lease);
    }
  }
}

/** Resolves with `done`, which never rejects; rejects with the signal's reason if it aborts first. */
function race(done: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void done.then(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}

function tooMany(ofOwner: number): BusError {
  const isOwners = ofOwner >= MAX_WAITING_OF_OWNER;
  const limit = isOwners ? MAX_WAITING_OF_OWNER : MAX_WAITING;
  const who = isOwners ? 'You wait' : 'Clients of this node wait';
  return new BusError('LIMIT_EXCEEDED', `${who} for ${limit} leases already, which is the limit; try again later.`, {
    limit,
  });
}
