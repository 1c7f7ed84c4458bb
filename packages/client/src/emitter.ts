type Listener<T> = (value: T) => void;

/**
 * Typed events. A listener that throws or rejects affects neither the emitter nor other listeners: its error goes to
 * `report`.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();
  readonly #report: (error: unknown, event: keyof Events) => void;

  constructor(report: (error: unknown, event: keyof Events) => void) {
    this.#report = report;
  }

  /**
   * Adds a listener; returns a function that removes it.
   *
   * ```ts
   * const stop = client.on('state', ({ state }) => console.log(state));
   * stop();
   * ```
   */
  on<K extends keyof Events>(event: K, listener: Listener<Events[K]>): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => this.off(event, listener);
  }

  /**
   * Adds a listener for the next occurrence only.
   *
   * ```ts
   * client.once('welcome', ({ role }) => console.log(role));
   * ```
   */
  once<K extends keyof Events>(event: K, listener: Listener<Events[K]>): () => void {
    const remove = this.on(event, (value) => {
      remove();
      return listener(value);
    });
    return remove;
  }

  /**
   * Removes a listener.
   *
   * ```ts
   * client.off('notice', listener);
   * ```
   */
  off<K extends keyof Events>(event: K, listener: Listener<Events[K]>): void {
    this.#listeners.get(event)?.delete(listener);
  }

  /** Whether the event has listeners. */
  protected listens(event: keyof Events): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** Calls all listeners; returns the promises of the asynchronous ones. */
  protected emit<K extends keyof Events>(event: K, value: Events[K]): readonly Promise<unknown>[] {
    const pending: Promise<unknown>[] = [];
    // A copy: a listener added by a listener gets only later events.
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      const running = run(listener as Listener<Events[K]>, value, (error) => this.#report(error, event));
      if (running !== undefined) pending.push(running);
    }
    return pending;
  }
}

/**
 * Calls a user callback; its errors and rejections go to `report`. Returns a promise that settles with an asynchronous
 * callback and never rejects.
 */
export function run<T>(
  callback: Listener<T>,
  value: T,
  report: (error: unknown) => void,
): Promise<unknown> | undefined {
  try {
    const result: unknown = callback(value);
    return result instanceof Promise ? result.catch(report) : undefined;
  } catch (error) {
    report(error);
    return undefined;
  }
}
