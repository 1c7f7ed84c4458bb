/// <reference lib="esnext.disposable" preserve="true" />
import type { Envelope, JoinResult, JsonObject, PresenceNotice } from '@arqonbus/protocol';
import { AsyncQueue, iterate } from './async-queue.ts';
import type { Clock } from './clock.ts';
import type { Reset, Since } from './cursors.ts';
import { Emitter, run } from './emitter.ts';
import { invalidArgument } from './errors.ts';
import type { JoinOptions, Membership } from './membership.ts';
import type { Message } from './message.ts';
import type { WaitOptions } from './pending.ts';

/**
 * What to do if a consumer is slower than its channel: see {@link SubscribeOptions.overflow}.
 *
 * ```ts
 * await client.subscribe('prices:btc', { overflow: 'drop-oldest', bufferSize: 10 });
 * ```
 */
export type OverflowPolicy = 'replay' | 'drop-oldest';

/**
 * The options of a subscription: of the join, the consumer, and the overflow.
 *
 * ```ts
 * await client.subscribe<{ n: number }>('science:explore', { history: 20, onMessage: ({ payload }) => add(payload.n) });
 * ```
 */
export interface SubscribeOptions<P = JsonObject> extends JoinOptions, WaitOptions {
  /** Called with every message, in order. Without it, iterate the subscription. */
  onMessage?: (message: Message<P>) => void;
  onReset?: (reset: Reset) => void;
  /** Members that join, change or leave, with `presence: true`. */
  onPresence?: (presence: Presence) => void;
  /** Messages buffered for a slow iteration (default: the client's `bufferSize`). */
  bufferSize?: number;
  /**
   * `replay` (default): takes no messages while the buffer is full, and requests a replay from history once there is
   * room, so nothing is lost while history has it. `drop-oldest`: drops the oldest messages to stay current.
   */
  overflow?: OverflowPolicy;
}

/**
 * Members that joined, changed and left; with the join option `presence`. The members before that are in the result of
 * the join, {@link Subscription.result}.
 *
 * ```ts
 * subscription.on('presence', ({ joined, left, members }) => console.log(joined.length, left.length, members));
 * ```
 */
export type Presence = PresenceNotice;

/**
 * The consumer is slower than its channel.
 *
 * ```ts
 * subscription.on('overflow', ({ policy, dropped }) => console.log(policy, dropped));
 * ```
 */
export interface Overflow {
  readonly policy: OverflowPolicy;
  /** Messages lost since the subscription began. */
  readonly dropped: number;
}

/**
 * The events of a subscription.
 *
 * ```ts
 * subscription.on('reset', ({ reason }) => console.warn('messages may be missing:', reason));
 * ```
 */
export interface SubscriptionEvents {
  /** Messages may be missing. */
  reset: Reset;
  presence: Presence;
  /** Any `system` envelope about the channel or room. */
  notice: Envelope;
  /** The consumer is too slow; emitted again only after it has caught up. */
  overflow: Overflow;
  /** The error that ended it; undefined after `close()`. */
  close: unknown;
}

/**
 * The messages of a channel or room: in order, each once, across reconnects. Iterate it (`for await`), take single
 * messages with {@link Subscription.next}, or use `onMessage`. Several loops share the messages. Leaving a loop does
 * not leave the channel; {@link Subscription.close} does.
 *
 * ```ts
 * const subscription = await client.subscribe<{ text: string }>('science:explore');
 * for await (const { from, payload } of subscription) console.log(from, payload.text);
 * ```
 */
export class Subscription<P = JsonObject> extends Emitter<SubscriptionEvents> implements AsyncIterable<Message<P>> {
  readonly #membership: Membership;
  readonly #buffer: AsyncQueue<Message<P>>;
  readonly #limit: number;
  readonly #policy: OverflowPolicy;
  readonly #isPushed: boolean;
  #dropped = 0;
  #overflowing = false;
  /** Running handlers, and loops that are processing a message. */
  #busy = 0;
  /** Whether anyone takes the buffered messages. */
  #isTaken = false;
  #onDrained: (() => void)[] = [];

  constructor(
    membership: Membership,
    options: SubscribeOptions<P>,
    limit: number,
    clock: Clock,
    report: (error: unknown) => void,
  ) {
    super(report);
    const { onMessage, onReset, onPresence, overflow = 'replay' } = options;
    this.#membership = membership;
    this.#buffer = new AsyncQueue(clock);
    this.#limit = limit;
    this.#policy = membership.resumable ? overflow : 'drop-oldest';
    this.#isPushed = onMessage !== undefined;
    if (onReset !== undefined) this.on('reset', onReset);
    if (onPresence !== undefined) this.on('presence', onPresence);
    membership.attach({
      deliver: (message) => {
        const mine = message as Message<P>;
        if (onMessage === undefined) this.#hold(mine);
        else {
          membership.consumed(mine);
          const running = run(onMessage, mine, report);
          if (running === undefined) return;
          this.#become(true);
          void running.then(() => this.#become(false));
        }
      },
      missed: () => {
        this.#dropped += 1;
      },
      reset: (reset) => this.emit('reset', reset),
      notice: (envelope) => this.#notice(envelope),
      end: (error) => {
        this.#buffer.end(error);
        this.emit('close', error);
      },
      drained: () =>
        new Promise((resolve) => {
          this.#onDrained.push(resolve);
          this.#checkDrained();
        }),
    });
  }

  /**
   * `room:channel`.
   *
   * ```ts
   * console.log(subscription.address); // science:explore
   * ```
   */
  get address(): string {
    return this.#membership.name;
  }

  /**
   * The server's answer to the last join: the number of members, and whether all missed messages were recovered.
   *
   * ```ts
   * console.log(subscription.result?.members, subscription.result?.recovered);
   * ```
   */
  get result(): JoinResult | undefined {
    return this.#membership.result;
  }

  /**
   * Whether it has ended, by {@link Subscription.close} or otherwise.
   *
   * ```ts
   * if (subscription.closed) subscription = await client.subscribe('science:explore');
   * ```
   */
  get closed(): boolean {
    return this.#membership.closed;
  }

  /**
   * Messages lost because the consumer was too slow.
   *
   * ```ts
   * if (subscription.dropped > 0) console.warn(subscription.dropped, 'messages were dropped');
   * ```
   */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * The `since` for a later subscription, to continue without a gap after the messages that the consumer has processed.
   *
   * ```ts
   * await writeFile('position.json', JSON.stringify(subscription.since));
   * ```
   */
  get since(): Since | undefined {
    return this.#membership.since;
  }

  /**
   * The next message. Rejects with TimeoutError, the signal's reason, or the error that ended the subscription.
   *
   * ```ts
   * const { payload } = await subscription.next({ timeoutMs: 2_000 });
   * ```
   */
  async next(wait: WaitOptions = {}): Promise<Message<P>> {
    const message = await this.#take(wait);
    if (message === undefined) throw invalidArgument(`The subscription to ${this.address} is closed.`);
    return message;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message<P>, undefined, undefined> {
    return iterate(
      () => this.#take({}),
      (isBusy) => this.#become(isBusy),
    );
  }

  /**
   * Ends it, and leaves the channel if it has no other subscription; iterations end after the buffered messages.
   *
   * ```ts
   * await subscription.close();
   * ```
   */
  close(): Promise<void> {
    return this.#membership.leave();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #take(wait: WaitOptions): Promise<Message<P> | undefined> {
    if (this.#isPushed) {
      throw invalidArgument('With onMessage there is nothing to iterate.');
    }
    this.#isTaken = true;
    const message = await this.#buffer.next(wait);
    this.#checkDrained();
    if (message !== undefined) this.#membership.consumed(message);
    if (this.#overflowing && this.#buffer.size <= this.#limit / 2) {
      this.#overflowing = false;
      this.#membership.proceed();
    }
    return message;
  }

  #become(isBusy: boolean): void {
    this.#busy += isBusy ? 1 : -1;
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#busy > 0 || (this.#isTaken && this.#buffer.size > 0)) return;
    for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  #hold(message: Message<P>): void {
    this.#buffer.push(message);
    if (this.#buffer.size <= this.#limit) return;
    if (this.#policy === 'replay') this.#membership.pause();
    else {
      this.#buffer.shift();
      this.#dropped += 1;
    }
    if (this.#overflowing) return;
    this.#overflowing = true;
    this.emit('overflow', { policy: this.#policy, dropped: this.#dropped });
  }

  #notice(envelope: Envelope): void {
    const { event } = envelope.payload;
    if (event === 'presence') this.emit('presence', envelope.payload as unknown as Presence);
    this.emit('notice', envelope);
  }
}
