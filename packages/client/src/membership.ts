import {
  type Address,
  type Envelope,
  formatAddress,
  type JoinResult,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import { Cursors, type Reset, type Since } from './cursors.ts';
import type { Message } from './message.ts';

/** Maximum messages buffered until a join is answered. */
const MAX_EARLY = 10_000;

/**
 * The options of a join (PROTOCOL section 7, `join_channel`).
 *
 * ```ts
 * await client.join('science:explore', { echo: true, history: 20 });
 * ```
 */
export interface JoinOptions {
  /** Resumes after a position that an earlier subscription had reached ({@link Message.position}). */
  since?: Since;
  /** Whether this client receives its own messages (default false). */
  echo?: boolean;
  /** Starts with the retained value of each channel, if a rule of the bus keeps one; only with the first join. */
  last?: boolean;
  /** Whether to receive presence: the members and their changes. */
  presence?: boolean | { state?: unknown };
  /**
   * For a room or a pattern: refuses the join unless the grants cover all of it, instead of joining the covered part.
   */
  strict?: boolean;
  /** The last N envelopes before live traffic. */
  history?: number;
}

/** The recipient of a membership's messages. */
export interface Consumer {
  deliver(message: Message): void;
  /** A message was skipped while the membership was paused, and no replay will deliver it. */
  missed(): void;
  reset(reset: Reset): void;
  notice(envelope: Envelope): void;
  end(error: unknown): void;
  /** Resolves when everything delivered has been processed. */
  drained(): Promise<void>;
  /** The result of a join, the first and later ones. */
  joined?(result: JoinResult): void;
}

/** What a membership needs from its client. */
export interface MembershipHost {
  /** Whether `from` is a client id of this client, on this or an earlier connection. */
  isOwn(from: string): boolean;
  /** Rejoins from the membership's current position. */
  rejoin(membership: Membership): void;
  /** Leaves, unless the client has another membership at the same address. */
  leave(membership: Membership): Promise<void>;
}

/** One joined address and its positions. Survives connections. */
export class Membership {
  readonly address: Address;
  readonly options: JoinOptions;
  /** The result of the last join. */
  result: JoinResult | undefined;
  closed = false;
  /** Whether messages are ignored, so that no replay is needed. */
  readonly #isSilent: boolean;
  readonly #host: MembershipHost;
  readonly #cursors: Cursors;
  /** The last position of each channel that the consumer has processed. */
  readonly #consumed = new Map<string, Position>();
  #consumer!: Consumer;
  /** From the result of a join to the loss of its connection. */
  #active = false;
  /** Messages that arrived, through another membership, before the join was answered. */
  #early: Message[] = [];
  #paused = false;
  /** The last join should have resumed, but the server did not know the stream positions. */
  #isUnplaced = false;

  constructor(address: Address, options: JoinOptions, host: MembershipHost, isSilent = false) {
    this.address = address;
    this.#isSilent = isSilent;
    this.options = options;
    this.#host = host;
    this.#cursors = new Cursors(address, (reset) => this.#reset(reset));
    if (options.since !== undefined) this.#cursors.seed(options.since);
  }

  /** Must be called before the first join. */
  attach(consumer: Consumer): void {
    this.#consumer = consumer;
  }

  get name(): string {
    return formatAddress(this.address);
  }

  /** Whether skipped messages can be replayed later. */
  get resumable(): boolean {
    return this.#cursors.resumable;
  }

  /** Whether it must rejoin to get missed messages, once the server's storage is back. */
  get isUnplaced(): boolean {
    return this.#isUnplaced && this.#active;
  }

  /** The position from which a later subscription continues after what the consumer has processed. */
  get since(): Since | undefined {
    return this.#cursors.sinceConsumed(this.#consumed);
  }

  /** The consumer has processed this message. */
  consumed({ position, channel = WILDCARD }: Message<unknown>): void {
    if (position !== undefined) this.#consumed.set(channel, position);
  }

  /** Takes no messages until {@link Membership.proceed}. */
  pause(): void {
    this.#paused = true;
  }

  /** The consumer has room again: requests a replay of the skipped messages. */
  proceed(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#active) this.#host.rejoin(this);
  }

  /** Rejoins on the open connection. */
  renew(): void {
    if (this.#active) this.#host.rejoin(this);
  }

  /** The arguments of the next join, apart from those shared by all memberships at the address. */
  joinArgs(): Pick<JoinOptions, 'since' | 'history' | 'last'> {
    // While paused, only the membership is renewed; the replay follows when there is room.
    if (this.#paused || this.#isSilent) return {};
    const isFirst = this.result === undefined;
    const last = isFirst && this.options.last === true ? { last: true } : {};
    const since = this.#cursors.resumable ? this.#cursors.since() : undefined;
    if (since !== undefined) return { since, ...last };
    const { history } = this.options;
    return history === undefined || !isFirst ? last : { history, ...last };
  }

  /**
   * The result of a join; must run before any later frame is processed. Returns true to join once more, because the
   * server can replay more.
   *
   * @param isAgain whether this was the second join
   */
  joined(result: JoinResult, asked: Pick<JoinOptions, 'since' | 'history'>, isAgain: boolean): boolean {
    if (this.closed) return false;
    const isFirst = this.result === undefined;
    // Messages that the first of two joins could not recover are lost, whatever the second one reports.
    this.result = isAgain
      ? { ...result, recovered: this.result?.recovered === true && result.recovered === true }
      : result;
    this.#isUnplaced = asked.since !== undefined && this.#cursors.isUnknown(result);
    if (!this.#paused && !this.#isSilent && !this.#isUnplaced) {
      let isOwed = false;
      if (asked.since !== undefined) isOwed = this.#cursors.resume(result, asked.since, isAgain);
      else if (isFirst) this.#cursors.begin(result, asked.history);
      else this.#cursors.restart(result);
      for (const [channel, position] of Object.entries(this.#cursors.positions())) {
        if (this.#consumed.get(channel)?.epoch !== position.epoch) this.#consumed.set(channel, position);
      }
      if (isOwed) return true;
    }
    this.#active = true;
    this.#consumer.joined?.(result);
    for (const message of this.#early.splice(0)) this.receive(message);
    return false;
  }

  /** The connection was lost. */
  suspend(): void {
    this.#active = false;
    this.#early = [];
  }

  /** A join is pending: messages wait for its result. */
  joining(): void {
    this.#active = false;
  }

  /** An event that the address covers. */
  receive(message: Message): void {
    if (this.#isSilent) return;
    if (!this.#active) {
      this.#early.push(message);
      // The oldest ones will also arrive with the replay.
      if (this.#early.length > MAX_EARLY) this.#early.shift();
    } else if (message.envelope.metadata?.retained === true) {
      // A retained value precedes the position of the join, and is only for those who requested it.
      if (this.options.last === true) this.#consumer.deliver(message);
    } else if (this.#isUnplaced && this.#cursors.canReplay(message)) {
      // It will be replayed after the missed messages, by the next join.
      return;
    } else if (!this.#paused) this.#deliver(this.#cursors.take(message));
    else if (!this.#cursors.canReplay(message)) this.#consumer.missed();
  }

  /** The ack of an own message. With `echo` the message itself arrives. */
  own(position: Position): void {
    if (this.#isSilent) return;
    if (this.options.echo !== true) this.#deliver(this.#cursors.own(position));
  }

  /** A `system` envelope about the channel or room. */
  notice(envelope: Envelope): void {
    const { event, channel = WILDCARD } = envelope.payload;
    if (event === 'history_gap' && this.result !== undefined) this.#deliver(this.#cursors.gap(String(channel)));
    if (event !== 'presence' || (this.options.presence ?? false) !== false) this.#consumer.notice(envelope);
  }

  /** Ends it without leaving the channel; {@link Membership.leave} does both. */
  end(error?: unknown): void {
    if (this.closed) return;
    this.closed = true;
    this.#active = false;
    this.#consumer.end(error);
  }

  drained(): Promise<void> {
    return this.#consumer.drained();
  }

  async leave(): Promise<void> {
    if (this.closed) return;
    this.end();
    await this.#host.leave(this);
  }

  #deliver(messages: Message[]): void {
    for (const message of messages) {
      // A replay includes this client's own messages, which live traffic omits without `echo`.
      if (this.options.echo === true || !this.#host.isOwn(message.from)) this.#consumer.deliver(message);
    }
  }

  #reset(reset: Reset): void {
    for (const [channel, position] of Object.entries(reset.positions)) this.#consumed.set(channel, position);
    this.#consumer.reset(reset);
  }
}
