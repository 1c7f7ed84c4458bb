import {
  type Address,
  compilePattern,
  isChannelPattern,
  type JoinResult,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Message } from './message.ts';

/** Maximum sequences of own messages remembered ahead of the cursor. */
const MAX_OWN_AHEAD = 1_024;
/** Maximum messages held back during a replay. */
const MAX_HELD = 10_000;

/**
 * The position to resume a subscription from: of a channel, or a map from channel to position. The map of a room has
 * each of its channels; that of a channel has its own position, and `*` for the room-wide events.
 *
 * ```ts
 * const { since } = subscription;
 * if (since !== undefined) await client.subscribe('science:explore', { since });
 * ```
 */
export type Since = Position | Record<string, Position>;

/**
 * Why messages may be missing.
 *
 * ```ts
 * subscription.on('reset', ({ reason }) => console.log(reason === 'history_gap' ? 'a hole' : 'a restart'));
 * ```
 */
export type ResetReason =
  /** The server no longer stores all missed events. */
  | 'not_recovered'
  /** The channel's stream has a new epoch; missed events of the old one are lost. */
  | 'new_epoch'
  /** The server reported a hole: traffic that was not stored, or history that expired during a replay. */
  | 'history_gap';

/**
 * Messages may be missing: reload the state that you derived from them. Delivery continues from `positions`.
 *
 * ```ts
 * await client.subscribe('science:explore', { onReset: ({ reason, positions }) => reload(reason, positions) });
 * ```
 */
export interface Reset {
  readonly reason: ResetReason;
  /** The position from which each affected stream continues, by channel. */
  readonly positions: Readonly<Record<string, Position>>;
}

/**
 * The position in one stream (PROTOCOL section 6), which allows resuming without gaps or duplicates.
 *
 * Everything up to `sequence` has been delivered. During a complete replay, messages are delivered in strict sequence
 * and later ones are held back: with overlapping subscriptions a live message may overtake the replay.
 */
export class StreamCursor {
  readonly epoch: string;
  sequence: number;
  /** The stream's sequence at the last join. */
  #joinedAt: number;
  /** Every sequence up to here will be replayed; 0 if no replay is expected. */
  #owedUpTo = 0;
  readonly #held = new Map<number, Message>();
  /** Sequences of this client's own messages, from their acks, ahead of the cursor. */
  readonly #own = new Set<number>();

  /** @param joinedAt the stream's current sequence; higher than `sequence` if history follows */
  constructor({ sequence, epoch }: Position, joinedAt: number = sequence) {
    this.epoch = epoch;
    this.sequence = sequence;
    this.#joinedAt = joinedAt;
  }

  get position(): Position {
    return { sequence: this.sequence, epoch: this.epoch };
  }

  /** Whether the stream had no event at the last join, and none since. */
  get isEmpty(): boolean {
    return Math.max(this.sequence, this.#joinedAt) === 0;
  }

  /** Whether there is nothing new in a stream at `position`. */
  standsAt({ sequence, epoch }: Position): boolean {
    return epoch === this.epoch && sequence === Math.max(this.sequence, this.#joinedAt);
  }

  /** Everything after the cursor up to `sequence` will be replayed. */
  expect(sequence: number): void {
    this.#held.clear();
    this.#joinedAt = sequence;
    this.#owedUpTo = sequence;
  }

  /** Takes a message of this stream; returns the messages that can now be delivered, in order. */
  take(message: Message, sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    if (this.sequence < this.#owedUpTo && sequence > this.sequence + 1) {
      this.#held.set(sequence, message);
      return this.#held.size > MAX_HELD ? this.release() : [];
    }
    this.#advance(sequence);
    return [message, ...this.#next()];
  }

  /** The ack of an own message: it counts as seen but is not delivered. */
  own(sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    this.#own.add(sequence);
    const [first] = this.#own;
    // A lasting gap is an own message without an ack: a message of anyone else would have arrived by now.
    this.#advance(this.#own.size > MAX_OWN_AHEAD ? (first as number) : this.sequence);
    return this.#next();
  }

  /** The replay has a gap that will not be filled: releases the messages held back for it. */
  release(): Message[] {
    this.#owedUpTo = 0;
    return this.#next();
  }

  #advance(to: number): void {
    const before = this.sequence;
    let sequence = Math.max(before, to);
    while (this.#own.delete(sequence + 1)) sequence += 1;
    this.sequence = sequence;
    if (sequence === before) return;
    for (const own of this.#own) if (own <= sequence) this.#own.delete(own);
  }

  /**
   * Messages that were held back and can be delivered now: the next consecutive ones, or all once the replay is
   * complete.
   */
  #next(): Message[] {
    const due: Message[] = [];
    const hand = (sequence: number): void => {
      const message = this.#held.get(sequence);
      this.#held.delete(sequence);
      if (message === undefined || sequence <= this.sequence) return;
      due.push(message);
      this.#advance(sequence);
    };
    while (this.#held.has(this.sequence + 1)) hand(this.sequence + 1);
    if (this.sequence < this.#owedUpTo) return due;
    for (const sequence of [...this.#held.keys()].sort((a, b) => a - b)) hand(sequence);
    return due;
  }
}

/**
 * The cursors of all streams of one subscription: those of a room's channels, or the channel's and the room-wide one,
 * whose events reach every member of any channel.
 */
export class Cursors {
  readonly #address: Address;
  readonly #onReset: (reset: Reset) => void;
  readonly #streams = new Map<string, StreamCursor>();
  /** Whether it covers several channels. */
  readonly #isMany: boolean;
  readonly #matches: (channel: string) => boolean;

  constructor(address: Address, onReset: (reset: Reset) => void) {
    const { channel } = address;
    const isPattern = isChannelPattern(channel);
    this.#isMany = channel === WILDCARD || isPattern;
    this.#matches = isPattern ? compilePattern(channel) : (name) => channel === WILDCARD || channel === name;
    this.#address = address;
    this.#onReset = onReset;
  }

  /** The protocol can resume a channel or a room, but not a subscription to everything. */
  get resumable(): boolean {
    return this.#address.room !== WILDCARD;
  }

  /** The position for the next join; undefined if none is known yet. */
  since(): Since | undefined {
    return this.#sinceOf(this.positions());
  }

  /** The same, for a consumer that has not processed everything yet. */
  sinceConsumed(consumed: Iterable<readonly [string, Position]>): Since | undefined {
    return this.#sinceOf({ ...this.positions(), ...Object.fromEntries(consumed) });
  }

  /** A room has a map; a channel too, once its room has had a room-wide event. */
  #sinceOf(positions: Record<string, Position>): Since | undefined {
    const { channel } = this.#address;
    if (this.#isMany) return this.#streams.size === 0 ? undefined : positions;
    if (!this.#streams.has(channel)) return undefined;
    const own = positions[channel] as Position;
    const hasWide = this.#streams.get(WILDCARD)?.isEmpty === false;
    return hasWide ? { [channel]: own, [WILDCARD]: positions[WILDCARD] as Position } : own;
  }

  positions(): Record<string, Position> {
    return Object.fromEntries([...this.#streams].map(([channel, cursor]) => [channel, cursor.position]));
  }

  /** The user's own `since`, before the first join. */
  seed(since: Since): void {
    const map = isPosition(since) ? { [this.#address.channel]: since } : since;
    for (const [channel, position] of Object.entries(map)) this.#streams.set(channel, new StreamCursor(position));
  }

  /** The result of a join without `since`; `history` envelopes of each joined stream precede live traffic. */
  begin(result: JoinResult, history = 0): void {
    for (const [channel, position] of this.#told(result)) {
      const replayed = this.#covers(channel) ? history : 0;
      const sequence = Math.max(0, position.sequence - replayed);
      this.#streams.set(channel, new StreamCursor({ ...position, sequence }, position.sequence));
    }
  }

  /** The result of a rejoin without a known position to resume from. */
  restart(result: JoinResult): void {
    this.begin(result);
    this.#onReset({ reason: 'not_recovered', positions: Object.fromEntries(this.#told(result)) });
  }

  /**
   * The result of a join with `since`. Returns true if the server could replay more: join once more, from the current
   * cursors.
   *
   * @param asked the `since` of the join
   * @param isLast whether this was already the second join
   */
  resume(result: JoinResult, asked: Since, isLast: boolean): boolean {
    const told = this.#told(result);
    const isRecovered = result.recovered === true;
    const isRenewed = told.some(([channel, { epoch }]) => (this.#streams.get(channel)?.epoch ?? epoch) !== epoch);
    if (!isRecovered && (isLast || !isRenewed)) {
      this.#giveUp(told, isLast);
      return false;
    }
    const map = isPosition(asked) ? { [this.#address.channel]: asked } : asked;
    const restarted: Record<string, Position> = {};
    let isOwed = false;
    for (const [channel, position] of told) {
      const cursor = this.#streams.get(channel);
      if (cursor?.epoch === position.epoch) {
        isOwed ||= position.sequence > cursor.sequence && !(isRecovered && Object.hasOwn(map, channel));
        cursor.expect(position.sequence);
      } else if (cursor === undefined && !this.#covers(channel)) {
        this.#streams.set(channel, new StreamCursor(position));
      } else {
        // Created meanwhile, or restarted: delivered from its start, or from the oldest stored envelope.
        const start = { sequence: 0, epoch: position.epoch };
        this.#streams.set(channel, new StreamCursor(start, position.sequence));
        isOwed ||= cursor !== undefined && position.sequence > 0;
        // An empty stream has no lasting epoch, and most rooms never have a room-wide event.
        if (cursor !== undefined && (channel !== WILDCARD || cursor.sequence > 0)) restarted[channel] = start;
      }
    }
    if (Object.keys(restarted).length > 0) this.#onReset({ reason: 'new_epoch', positions: restarted });
    return isOwed && !isLast;
  }

  /** The missed messages are no longer stored: continues from the current positions. */
  #giveUp(told: readonly [string, Position][], isLast: boolean): void {
    const lost: Record<string, Position> = {};
    for (const [channel, position] of told) {
      const cursor = this.#streams.get(channel);
      // With a new epoch, everything stored is wanted if the server replays it.
      const isNew = isLast && cursor?.sequence === 0 && cursor.epoch === position.epoch;
      const isLost = isNew ? position.sequence > 0 : cursor?.standsAt(position) !== true;
      const from = isNew ? cursor.position : position;
      this.#streams.set(channel, new StreamCursor(from, position.sequence));
      if (isLost) lost[channel] = from;
    }
    if (Object.keys(lost).length > 0) this.#onReset({ reason: 'not_recovered', positions: lost });
  }

  /** Takes an event that the address covers; returns what can be delivered now, in order and without duplicates. */
  take(message: Message): Message[] {
    const { position, channel = WILDCARD } = message;
    // A subscription to everything never requests a replay, so this one belongs to another subscription.
    if (!this.resumable) return message.replayed ? [] : [message];
    if (position === undefined) return [message];
    const cursor = this.#streams.get(channel);
    if (cursor?.epoch === position.epoch) return cursor.take(message, position.sequence);
    if (cursor === undefined) {
      // The replay of an unknown room-wide stream belongs to a subscription to the room.
      if (message.replayed && !this.#covers(channel)) return [];
    } else if (position.sequence > 1) this.#onReset({ reason: 'new_epoch', positions: { [channel]: position } });
    this.#streams.set(channel, new StreamCursor(position));
    return [message];
  }

  /** The ack of an own message; its epoch, a random id, identifies the stream. */
  own({ sequence, epoch }: Position): Message[] {
    for (const cursor of this.#streams.values()) if (cursor.epoch === epoch) return cursor.own(sequence);
    return [];
  }

  /** The server reported a gap in a channel's history. */
  gap(channel: string): Message[] {
    const cursor = this.#streams.get(channel);
    const positions = cursor === undefined ? {} : { [channel]: cursor.position };
    this.#onReset({ reason: 'history_gap', positions });
    return cursor?.release() ?? [];
  }

  /** Whether a skipped message can be replayed by the next join. */
  canReplay({ position, channel = WILDCARD }: Message): boolean {
    return this.resumable && position !== undefined && (this.#covers(channel) || this.#streams.has(channel));
  }

  #covers(channel: string): boolean {
    return this.#matches(channel);
  }

  /** Whether the server did not know a stream's position, because its storage is unavailable. */
  isUnknown({ epoch, positions }: JoinResult): boolean {
    return this.resumable && Object.values(positions ?? { epoch: { epoch } }).some((known) => known.epoch === '');
  }

  /** The stream positions reported by the server; a stream with an unknown position has no epoch. */
  #told({ channel, sequence, epoch, positions }: JoinResult): [string, Position][] {
    if (!this.resumable) return [];
    return Object.entries(positions ?? { [channel]: { sequence, epoch } }).filter(([, known]) => known.epoch !== '');
  }
}

function isPosition(since: Since): since is Position {
  return typeof since.sequence === 'number';
}
