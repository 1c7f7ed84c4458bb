import { HookFailure } from './answer.ts';

/** Concurrent requests of one sender to one backend. */
export const MAX_PER_SENDER = 8;
/** Concurrent requests to one backend. */
export const MAX_AT_ONCE = 64;

/** Limits for the queues of all backends together. */
export interface WaitingBounds {
  readonly questions: number;
  /** UTF-16 units of their texts. */
  readonly size: number;
}

/** The total number of waiting requests, over all backends. */
export class Waiting {
  readonly bounds: WaitingBounds;
  private questions = 0;
  private size = 0;

  constructor(bounds: WaitingBounds) {
    this.bounds = bounds;
  }

  /** Throws {@link HookFailure} when the limit is reached. */
  add(size: number): void {
    if (this.questions >= this.bounds.questions || this.size + size > this.bounds.size) {
      throw new HookFailure('too many questions wait already');
    }
    this.questions += 1;
    this.size += size;
  }

  remove(size: number): void {
    this.questions -= 1;
    this.size -= size;
  }
}

interface Waiter {
  readonly size: number;
  begin(): void;
}

/**
 * Schedules the requests to a backend: limits concurrency, and alternates between senders, so that a busy sender only
 * delays itself.
 */
export class Turns {
  private readonly waiting: Waiting;
  private readonly out: Map<unknown, number> = new Map();
  /** The most recently served sender is last. */
  private readonly queues: Map<unknown, Waiter[]> = new Map();
  private total = 0;

  constructor(waiting: Waiting) {
    this.waiting = waiting;
  }

  /** Whether nothing is running or waiting. */
  get isIdle(): boolean {
    return this.total === 0 && this.queues.size === 0;
  }

  /** Runs `ask` in the sender's turn. Rejects with {@link HookFailure} when too much is waiting. */
  async take<T>(sender: unknown, size: number, ask: () => Promise<T>): Promise<T> {
    if (!this.hasRoom(sender) || this.queues.has(sender)) await this.queue(sender, size);
    else this.begin(sender);
    try {
      return await ask();
    } finally {
      this.end(sender);
    }
  }

  private hasRoom(sender: unknown): boolean {
    return this.total < MAX_AT_ONCE && (this.out.get(sender) ?? 0) < MAX_PER_SENDER;
  }

  private queue(sender: unknown, size: number): Promise<void> {
    this.waiting.add(size);
    return new Promise((resolve) => {
      const waiter = { size, begin: resolve };
      const queue = this.queues.get(sender);
      if (queue === undefined) this.queues.set(sender, [waiter]);
      else queue.push(waiter);
    });
  }

  private begin(sender: unknown): void {
    this.total += 1;
    this.out.set(sender, (this.out.get(sender) ?? 0) + 1);
  }

  private end(sender: unknown): void {
    this.total -= 1;
    const left = (this.out.get(sender) ?? 0) - 1;
    if (left === 0) this.out.delete(sender);
    else this.out.set(sender, left);
    this.next();
  }

  private next(): void {
    for (const [sender, queue] of this.queues) {
      if (!this.hasRoom(sender)) continue;
      const waiter = queue.shift() as Waiter;
      this.queues.delete(sender);
      if (queue.length > 0) this.queues.set(sender, queue);
      this.waiting.remove(waiter.size);
      this.begin(sender);
      waiter.begin();
      return;
    }
  }
}
