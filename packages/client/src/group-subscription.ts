/// <reference lib="esnext.disposable" preserve="true" />
import { type Address, type Envelope, formatAddress, type JoinResult, type JsonObject } from '@arqonbus/protocol';
import { AsyncQueue } from './async-queue.ts';
import type { Clock } from './clock.ts';
import { type Answers, type Delivery, toDelivery } from './delivery.ts';
import { Emitter } from './emitter.ts';
import { invalidArgument } from './errors.ts';
import type { WaitOptions } from './pending.ts';

/**
 * The options of a member of a group. Each message goes to one member.
 *
 * ```ts
 * await client.subscribe('orders:new', { group: 'billing', prefetch: 4, onMessage: ({ payload }) => bill(payload) });
 * ```
 */
export interface GroupOptions<P = JsonObject> extends WaitOptions {
  /** The group; created with defaults if it does not exist. */
  group: string;
  /** Maximum number of unacknowledged messages of this member (default 16). */
  prefetch?: number;
  /** The program answers every message itself. */
  manualAck?: boolean;
  /**
   * Called with one message after the other. A message is acknowledged when the handler returns, and redelivered when
   * it throws, unless the handler has answered it. Without a handler, iterate the subscription.
   */
  onMessage?: (message: Delivery<P>) => unknown;
}

/**
 * The events of a group subscription.
 *
 * ```ts
 * subscription.on('notice', ({ payload }) => console.log(payload.event)); // group_lost
 * ```
 */
export interface GroupEvents {
  /**
   * Any `system` envelope about the group, such as `group_lost`: history removed events that the group had not read.
   */
  notice: Envelope;
  /** The error that ended it; undefined after `close()`. */
  close: unknown;
}

/** What a group subscription needs from its client. */
export interface GroupHost {
  readonly clock: Clock;
  readonly answers: Answers;
  leave(subscription: GroupSubscription<never>): Promise<void>;
  report(error: unknown): void;
}

/**
 * The messages that a group delivers to this client. Iterate it: a message is acknowledged when the loop requests the
 * next one. Leaving the loop returns the current message, unless it was answered.
 *
 * ```ts
 * const subscription = await client.subscribe<{ id: number }>('orders:new', { group: 'billing' });
 * for await (const { payload, attempt } of subscription) await bill(payload.id, attempt);
 * ```
 */
export class GroupSubscription<P = JsonObject> extends Emitter<GroupEvents> implements AsyncIterable<Delivery<P>> {
  /** @internal */
  readonly place: Address;
  /** @internal */
  readonly options: GroupOptions<P>;
  readonly #host: GroupHost;
  readonly #prefetch: number;
  #buffer: AsyncQueue<Delivery<P>>;
  #result: JoinResult | undefined;
  #isClosed = false;
  #inHand = 0;
  #onIdle: (() => void)[] = [];

  /** @internal @param handlers maximum concurrent calls of the handler */
  constructor(place: Address, options: GroupOptions<P>, prefetch: number, handlers: number, host: GroupHost) {
    super((error) => host.report(error));
    this.place = place;
    this.options = options;
    this.#prefetch = prefetch;
    this.#host = host;
    this.#buffer = new AsyncQueue(host.clock);
    const { onMessage } = options;
    if (onMessage !== undefined) for (let n = 0; n < handlers; n += 1) void this.#handOn(onMessage);
  }

  /**
   * `room:channel`.
   *
   * ```ts
   * console.log(subscription.address); // orders:new
   * ```
   */
  get address(): string {
    return formatAddress(this.place);
  }

  /**
   * The name of the group.
   *
   * ```ts
   * console.log(subscription.group); // billing
   * ```
   */
  get group(): string {
    return this.options.group;
  }

  /**
   * The server's answer to the last join.
   *
   * ```ts
   * console.log(subscription.result?.members);
   * ```
   */
  get result(): JoinResult | undefined {
    return this.#result;
  }

  /**
   * Whether it has ended, by {@link GroupSubscription.close} or otherwise.
   *
   * ```ts
   * if (subscription.closed) process.exit(1);
   * ```
   */
  get closed(): boolean {
    return this.#isClosed;
  }

  /**
   * The next message, which you answer yourself. Rejects with TimeoutError, the signal's reason, or the error that
   * ended the subscription.
   *
   * ```ts
   * const message = await subscription.next({ timeoutMs: 2_000 });
   * await message.ack();
   * ```
   */
  async next(wait: WaitOptions = {}): Promise<Delivery<P>> {
    this.#assertPulled();
    const message = await this.#buffer.next(wait);
    if (message === undefined) throw invalidArgument(`The subscription to ${this.address} is closed.`);
    return message;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Delivery<P>, undefined, undefined> {
    this.#assertPulled();
    let inHand: Delivery<P> | undefined;
    const done = (answer: (message: Delivery<P>) => Promise<void>): void => {
      if (inHand !== undefined) this.#conclude(inHand, answer);
      inHand = undefined;
    };
    return {
      next: async () => {
        done((message) => message.ack());
        const value = await this.#buffer.next();
        if (value === undefined) return { done: true, value };
        this.#inHand += 1;
        inHand = value;
        return { done: false, value };
      },
      return: () => {
        done((message) => message.nack());
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /**
   * Stops delivery, and leaves the group. Messages of a running handler or loop may still be answered; the group is
   * left right after that. Other messages that had arrived go to other members.
   *
   * ```ts
   * await subscription.close();
   * ```
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.end();
    const left = this.idle().then(() => this.#leave());
    if (this.#inHand === 0) await left;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal The result of a join. */
  joined(result: JoinResult): void {
    this.#result = result;
  }

  /** @internal The server has delivered a message. */
  deliver(envelope: Envelope): void {
    if (this.#isClosed) return;
    // Messages beyond the prefetch are ignored; they are redelivered when their lease expires.
    if (this.#buffer.size < this.#prefetch) {
      this.#buffer.push(toDelivery<P>(envelope as unknown as Envelope<P>, this.#host.answers));
    }
  }

  /** @internal The connection was lost: unprocessed messages go to other members. */
  suspend(): void {
    this.#buffer.clear();
  }

  /** @internal */
  tell(envelope: Envelope): void {
    this.emit('notice', envelope);
  }

  /** @internal Ends it without leaving. */
  end(error?: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#buffer.clear();
    this.#buffer.end(error);
    this.emit('close', error);
  }

  /** @internal Resolves when no message is being processed. */
  idle(): Promise<void> {
    if (this.#inHand === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #handOn(onMessage: (message: Delivery<P>) => unknown): Promise<void> {
    for (;;) {
      // The event reports what ended it.
      const message = await this.#buffer.next().catch(() => undefined);
      if (message === undefined) return;
      this.#inHand += 1;
      try {
        await onMessage(message);
        this.#conclude(message, () => message.ack());
      } catch (error) {
        this.#host.report(error);
        // The error's text may contain something not meant for others.
        const reason = error instanceof Error ? error.name : 'the handler failed';
        this.#conclude(message, () => message.nack({ reason }));
      }
    }
  }

  #conclude(message: Delivery<P>, answer: (message: Delivery<P>) => Promise<void>): void {
    if (this.options.manualAck !== true && !message.answered)
      answer(message).catch((error) => this.#host.report(error));
    this.#inHand -= 1;
    if (this.#inHand > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  async #leave(): Promise<void> {
    await this.#host.answers.idle();
    await this.#host.leave(this as unknown as GroupSubscription<never>);
  }

  #assertPulled(): void {
    if (this.options.onMessage !== undefined) throw invalidArgument('With onMessage there is nothing to iterate.');
  }
}
