import {
  type Address,
  compilePattern,
  isChannelPattern,
  type JoinResult,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Message } from './message.ts';

/** Own sequences remembered ahead of the cursor. */
const MAX_OWN_AHEAD = 1_024;
/** Messages held back while a replay is on its way. */
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
 * The place in one stream (PROTOCOL section 6): what makes a resume free of gaps and duplicates.
 *
 * Everything up to `sequence` is seen. While a replay without holes is on its way, messages are let through in strict
 * succession and the rest is held back: with overlapping subscriptions a live message may overtake the replay.
 */
export class StreamCursor {
  readonly epoch: string;
  sequence: number;
  /** Where the stream stood at the last join. */
  #joinedAt: number;
  /** Up to here every sequence will be replayed; 0 when none is owed. */
  #owedUpTo = 0;
  readonly #held = new Map<number, Message>();
  /** Sequences of this client's own messages, known from their acks, that lie ahead of the cursor. */
  readonly #own = new Set<number>();

  /** @param joinedAt where the stream stands; more than `sequence` when a part of its history follows */
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

  /** Whether a stream that stands at `position` has had nothing new since. */
  standsAt({ sequence, epoch }: Position): boolean {
    return epoch === this.epoch && sequence === Math.max(this.sequence, this.#joinedAt);
  }

  /** Everything after the cursor up to `sequence` will be replayed. */
  expect(sequence: number): void {
    this.#held.clear();
    this.#joinedAt = sequence;
    this.#owedUpTo = sequence;
  }

  /** Takes a message of this stream; answers those whose turn has come, in order. */
  take(message: Message, sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    if (this.sequence < this.#owedUpTo && sequence > this.sequence + 1) {
      this.#held.set(sequence, message);
      return this.#held.size > MAX_HELD ? this.release() : [];
    }
    this.#advance(sequence);
    return [message, ...this.#next()];
  }

  /** The ack of an own message: it counts as seen, without being delivered. */
  own(sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    this.#own.add(sequence);
    const [first] = this.#own;
    // A hole that stays is another own message, one without an ack: by now nobody else's can be late.
    this.#advance(this.#own.size > MAX_OWN_AHEAD ? (first as number) : this.sequence);
    return this.#next();
  }

  /** The replay has a hole that will not be filled: lets go of what was held back for it. */
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

  /** What was held back and is due now: the next ones in a row, and all of it once the replay is complete. */
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
 * The cursors of all streams that reach one subscription: those of a room's channels, or its channel's and the
 * room-wide one, whose events reach every member of any channel.
 */
export class Cursors {
  readonly #address: Address;
  readonly #onReset: (reset: Reset) => void;
  readonly #streams = new Map<string, StreamCursor>();
  /** Of several channels. */
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

  /** The protocol resumes a channel or a room, not the subscription to everything. */
  get resumable(): boolean {
    return this.#address.room !== WILDCARD;
  }

  /** What the next join asks to go on from; undefined when nothing is known yet. */
  since(): Since | undefined {
    return this.#sinceOf(this.positions());
  }

  /** The same for a consumer that has not had everything yet. */
  sinceConsumed(consumed: Iterable<readonly [string, Position]>): Since | undefined {
    return this.#sinceOf({ ...this.positions(), ...Object.fromEntries(consumed) });
  }

  /** A room's is a map; a channel's is one too as soon as its room has had a room-wide event. */
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

  /** The answer to a join without `since`; `history` envelopes of each stream joined precede live traffic. */
  begin(result: JoinResult, history = 0): void {
    for (const [channel, position] of this.#told(result)) {
      const replayed = this.#covers(channel) ? history : 0;
      const sequence = Math.max(0, position.sequence - replayed);
      this.#streams.set(channel, new StreamCursor({ ...position, sequence }, position.sequence));
    }
  }

  /** The answer to another join of which nothing was known that it could have gone on from. */
  restart(result: JoinResult): void {
    this.begin(result);
    this.#onReset({ reason: 'not_recovered', positions: Object.fromEntries(this.#told(result)) });
  }

  /**
   * The answer to a join with `since`. True: the server has not replayed all that it can; join once more, from where
   * the cursors stand now.
   *
   * @param asked the `since` of the join
   * @param isLast it has been joined once more already
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
        // Made meanwhile, or begun anew: it is had from its start, or from the oldest envelope that is kept.
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

  /** What was missed is not kept: everything goes on from where it stands now. */
  #giveUp(told: readonly [string, Position][], isLast: boolean): void {
    const lost: Record<string, Position> = {};
    for (const [channel, position] of told) {
      const cursor = this.#streams.get(channel);
      // Of a new epoch everything that is kept is wanted, should the server replay it.
      const isNew = isLast && cursor?.sequence === 0 && cursor.epoch === position.epoch;
      const isLost = isNew ? position.sequence > 0 : cursor?.standsAt(position) !== true;
      const from = isNew ? cursor.position : position;
      this.#streams.set(channel, new StreamCursor(from, position.sequence));
      if (isLost) lost[channel] = from;
    }
    if (Object.keys(lost).length > 0) this.#onReset({ reason: 'not_recovered', positions: lost });
  }

  /** Takes an event that the address covers; answers what may be handed on now, in order and without repetition. */
  take(message: Message): Message[] {
    const { position, channel = WILDCARD } = message;
    // Nothing here asked for a replay of everything: it is another subscription's.
    if (!this.resumable) return message.replayed ? [] : [message];
    if (position === undefined) return [message];
    const cursor = this.#streams.get(channel);
    if (cursor?.epoch === position.epoch) return cursor.take(message, position.sequence);
    if (cursor === undefined) {
      // The replay of a room-wide stream of which nothing is known belongs to a subscription of the room.
      if (message.replayed && !this.#covers(channel)) return [];
    } else if (position.sequence > 1) this.#onReset({ reason: 'new_epoch', positions: { [channel]: position } });
    this.#streams.set(channel, new StreamCursor(position));
    return [message];
  }

  /** The ack of an own message; its epoch, a random id, tells which stream it is of. */
  own({ sequence, epoch }: Position): Message[] {
    for (const cursor of this.#streams.values()) if (cursor.epoch === epoch) return cursor.own(sequence);
    return [];
  }

  /** The server told of a hole in a channel's history. */
  gap(channel: string): Message[] {
    const cursor = this.#streams.get(channel);
    const positions = cursor === undefined ? {} : { [channel]: cursor.position };
    this.#onReset({ reason: 'history_gap', positions });
    return cursor?.release() ?? [];
  }

  /** Whether what is not taken now will come with the next join. */
  canReplay({ position, channel = WILDCARD }: Message): boolean {
    return this.resumable && position !== undefined && (this.#covers(channel) || this.#streams.has(channel));
  }

  #covers(channel: string): boolean {
    return this.#matches(channel);
  }

  /** Whether the server could not tell where a stream stands: its storage is away. */
  isUnknown({ epoch, positions }: JoinResult): boolean {
    return this.resumable && Object.values(positions ?? { epoch: { epoch } }).some((known) => known.epoch === '');
  }

  /** Where the server says that the streams stand; one that nothing is known of has no epoch. */
  #told({ channel, sequence, epoch, positions }: JoinResult): [string, Position][] {
    if (!this.resumable) return [];
    return Object.entries(positions ?? { [channel]: { sequence, epoch } }).filter(([, known]) => known.epoch !== '');
  }
}

function isPosition(since: Since): since is Position {
  return typeof since.sequence === 'number';
}
