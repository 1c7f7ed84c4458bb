/// <reference lib="esnext.disposable" preserve="true" />
import type { ClientType, Envelope, JoinResult, JsonObject } from '@arqonbus/protocol';
import { Buffer, iterate } from './buffer.ts';
import type { Clock } from './clock.ts';
import type { Reset, Since } from './cursors.ts';
import { Emitter, run } from './emitter.ts';
import { invalidArgument } from './errors.ts';
import type { JoinOptions, Membership } from './membership.ts';
import type { Message } from './message.ts';
import type { WaitOptions } from './pending.ts';

/** What happens when a consumer is slower than its channel: see {@link SubscribeOptions.overflow}. */
export type OverflowPolicy = 'replay' | 'drop-oldest';

export interface SubscribeOptions<P = JsonObject> extends JoinOptions, WaitOptions {
  /** Gets every message, in order. Without it, iterate the subscription. */
  onMessage?: (message: Message<P>) => void;
  onReset?: (reset: Reset) => void;
  /** Joins and leaves of others, with `presence: true`. */
  onPresence?: (presence: Presence) => void;
  /** Messages held for a slow iteration (default: the client's `bufferSize`). */
  bufferSize?: number;
  /**
   * `replay` (default): stops taking messages while the buffer is full and has the server replay the rest from history
   * once there is room, so nothing is lost while history keeps it. `drop-oldest`: keeps up with the present.
   */
  overflow?: OverflowPolicy;
}

/** Somebody joined or left. */
export interface Presence {
  readonly event: 'client_joined' | 'client_left';
  readonly room: string;
  readonly channel: string;
  readonly client: { client_id: string; client_type: ClientType; screen_name: string | null };
  /** How many members there are now. */
  readonly members: number;
}

export interface Overflow {
  readonly policy: OverflowPolicy;
  /** Messages lost for good since the subscription began. */
  readonly dropped: number;
}

export interface SubscriptionEvents {
  /** Messages may be missing. */
  reset: Reset;
  presence: Presence;
  /** Any `system` envelope about the channel or room. */
  notice: Envelope;
  /** The consumer is too slow; told again only after it has caught up. */
  overflow: Overflow;
  /** With what ended it; undefined after `close()`. */
  close: unknown;
}

/**
 * The messages of a channel or room: in order, each once, across reconnects. Iterate it (`for await`), take one with
 * {@link Subscription.next}, or give `onMessage`. Several loops share the messages; leaving a loop does not leave the
 * channel, {@link Subscription.close} does.
 */
export class Subscription<P = JsonObject> extends Emitter<SubscriptionEvents> implements AsyncIterable<Message<P>> {
  readonly #membership: Membership;
  readonly #buffer: Buffer<Message<P>>;
  readonly #limit: number;
  readonly #policy: OverflowPolicy;
  readonly #isPushed: boolean;
  #dropped = 0;
  #overflowing = false;

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
    this.#buffer = new Buffer(clock);
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
          run(onMessage, mine, report);
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
    });
  }

  /** `room:channel`. */
  get address(): string {
    return this.#membership.name;
  }

  /** What the server answered to the last join: how many members, and whether everything missed was recovered. */
  get result(): JoinResult | undefined {
    return this.#membership.result;
  }

  get closed(): boolean {
    return this.#membership.closed;
  }

  /** Messages lost for good to a slow consumer. */
  get dropped(): number {
    return this.#dropped;
  }

  /** What a later subscription takes as its `since`, to go on without a gap after what the consumer has had. */
  get since(): Since | undefined {
    return this.#membership.since;
  }

  /** The next message. Rejects with TimeoutError, the signal's reason, or what ended the subscription. */
  async next(wait: WaitOptions = {}): Promise<Message<P>> {
    const message = await this.#take(wait);
    if (message === undefined) throw invalidArgument(`The subscription to ${this.address} is closed.`);
    return message;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message<P>, undefined, undefined> {
    return iterate(() => this.#take({}));
  }

  /** Ends it, and leaves the channel if no other subscription is at it; iterations end after what had arrived. */
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
    const message = await this.#buffer.next(wait);
    if (message !== undefined) this.#membership.consumed(message);
    if (this.#overflowing && this.#buffer.size <= this.#limit / 2) {
      this.#overflowing = false;
      this.#membership.proceed();
    }
    return message;
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
    if (event === 'client_joined' || event === 'client_left') {
      this.emit('presence', envelope.payload as unknown as Presence);
    }
    this.emit('notice', envelope);
  }
}
