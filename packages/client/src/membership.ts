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

/** Messages kept that come before a join is answered. */
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
  /** For a room or a pattern: refuses the join unless the grants cover all of it, instead of joining the covered part. */
  strict?: boolean;
  /** The last N envelopes before live traffic. */
  history?: number;
}

/** Who gets what a membership receives. */
export interface Consumer {
  deliver(message: Message): void;
  /** A message went by while the membership was paused, and no replay will bring it back. */
  missed(): void;
  reset(reset: Reset): void;
  notice(envelope: Envelope): void;
  end(error: unknown): void;
  /** Resolves when everything that was delivered has been dealt with. */
  drained(): Promise<void>;
  /** The answer to a join, the first one and later ones. */
  joined?(result: JoinResult): void;
}

/** What a membership needs of the client it belongs to. */
export interface MembershipHost {
  /** Whether an envelope's `from` was this client, on this connection or an earlier one. */
  isOwn(from: string): boolean;
  /** Joins again from where the membership stands. */
  rejoin(membership: Membership): void;
  /** Leaves, unless another membership of the client is at the same address. */
  leave(membership: Membership): Promise<void>;
}

/** One address joined: what was seen of it, and what is new. Survives connections. */
export class Membership {
  readonly address: Address;
  readonly options: JoinOptions;
  /** The answer to the last join. */
  result: JoinResult | undefined;
  closed = false;
  /** Whether its messages are of no interest: nothing is replayed for it. */
  readonly #isSilent: boolean;
  readonly #host: MembershipHost;
  readonly #cursors: Cursors;
  /** Last position of each channel that the consumer has had, rather than this object. */
  readonly #consumed = new Map<string, Position>();
  #consumer!: Consumer;
  /** Between the answer to a join and the loss of its connection. */
  #active = false;
  /** What came, by way of another membership, before the join was answered. */
  #early: Message[] = [];
  #paused = false;
  /** The last join was to go on from somewhere, and the server did not know where its streams stand. */
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

  /** Whether what is not taken now can be had later. */
  get resumable(): boolean {
    return this.#cursors.resumable;
  }

  /** Whether it has to join again to have what it missed, once the server's storage is back. */
  get isUnplaced(): boolean {
    return this.#isUnplaced && this.#active;
  }

  /** Where a later subscription goes on after what the consumer has had. */
  get since(): Since | undefined {
    return this.#cursors.sinceConsumed(this.#consumed);
  }

  /** The consumer has had this message. */
  consumed({ position, channel = WILDCARD }: Message<unknown>): void {
    if (position !== undefined) this.#consumed.set(channel, position);
  }

  /** Takes nothing any more until {@link Membership.proceed}. */
  pause(): void {
    this.#paused = true;
  }

  /** The consumer has room again: has what went by replayed. */
  proceed(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#active) this.#host.rejoin(this);
  }

  /** Joins once more on the line that is open. */
  renew(): void {
    if (this.#active) this.#host.rejoin(this);
  }

  /** What the next join asks for, besides what all memberships at the address share. */
  joinArgs(): Pick<JoinOptions, 'since' | 'history' | 'last'> {
    // While paused only the membership is kept; the replay comes when there is room for it.
    if (this.#paused || this.#isSilent) return {};
    const isFirst = this.result === undefined;
    const last = isFirst && this.options.last === true ? { last: true } : {};
    const since = this.#cursors.resumable ? this.#cursors.since() : undefined;
    if (since !== undefined) return { since, ...last };
    const { history } = this.options;
    return history === undefined || !isFirst ? last : { history, ...last };
  }

  /**
   * The answer to a join; must run before any later frame is looked at. True: join once more, since the server can
   * replay more than it has.
   *
   * @param isAgain this join was the one more
   */
  joined(result: JoinResult, asked: Pick<JoinOptions, 'since' | 'history'>, isAgain: boolean): boolean {
    if (this.closed) return false;
    const isFirst = this.result === undefined;
    // What the first of two joins could not recover is lost, whatever the second one says.
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

  /** The connection is lost. */
  suspend(): void {
    this.#active = false;
    this.#early = [];
  }

  /** A join is on its way: what comes now has to wait for its answer. */
  joining(): void {
    this.#active = false;
  }

  /** An event that the address covers. */
  receive(message: Message): void {
    if (this.#isSilent) return;
    if (!this.#active) {
      this.#early.push(message);
      // The oldest of them are those that the replay brings.
      if (this.#early.length > MAX_EARLY) this.#early.shift();
    } else if (message.envelope.metadata?.retained === true) {
      // It stands before where the join begins, and is for whoever asked for it.
      if (this.options.last === true) this.#consumer.deliver(message);
    } else if (this.#isUnplaced && this.#cursors.canReplay(message)) {
      // It comes after what was missed, with the next join.
      return;
    } else if (!this.#paused) this.#deliver(this.#cursors.take(message));
    else if (!this.#cursors.canReplay(message)) this.#consumer.missed();
  }

  /** The ack of a message of this client's own. With echo the message itself comes. */
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

  /** Leaves it to others to leave the channel: {@link Membership.leave} does both. */
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
      // A replay repeats what this client itself sent, which live traffic leaves out unless echo is asked for.
      if (this.options.echo === true || !this.#host.isOwn(message.from)) this.#consumer.deliver(message);
    }
  }

  #reset(reset: Reset): void {
    for (const [channel, position] of Object.entries(reset.positions)) this.#consumed.set(channel, position);
    this.#consumer.reset(reset);
  }
}
