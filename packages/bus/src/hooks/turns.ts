import { HookFailure } from './answer.ts';

/** Questions of one sender that are out at one backend at a time. */
export const MAX_PER_SENDER = 8;
/** Questions that are out at one backend at a time. */
export const MAX_AT_ONCE = 64;

/** What all backends together may keep waiting. */
export interface WaitingBounds {
  readonly questions: number;
  /** UTF-16 units of their texts. */
  readonly size: number;
}

/** How much waits, of all backends. */
export class Waiting {
  readonly bounds: WaitingBounds;
  private questions = 0;
  private size = 0;

  constructor(bounds: WaitingBounds) {
    this.bounds = bounds;
  }

  /** Throws {@link HookFailure} when there is no room for one more. */
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
 * Whose question goes to a backend next: so many at once, and senders in turn, so that one who sends much keeps nobody
 * waiting but itself.
 */
export class Turns {
  private readonly waiting: Waiting;
  private readonly out: Map<unknown, number> = new Map();
  /** The sender that had its turn last stands at the end. */
  private readonly queues: Map<unknown, Waiter[]> = new Map();
  private total = 0;

  constructor(waiting: Waiting) {
    this.waiting = waiting;
  }

  /** Whether nothing is out and nothing waits. */
  get isIdle(): boolean {
    return this.total === 0 && this.queues.size === 0;
  }

  /** Runs `ask` when it is this sender's turn. Rejects with {@link HookFailure} when too much waits already. */
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
