import { type Address, type JoinResult, type Position, WILDCARD } from '@arqonbus/protocol';
import { StreamCursor } from './cursor.ts';
import type { Message } from './message.ts';

/** Where a subscription goes on: a position in a channel, or a map from channel to position for a room. */
export type Since = Position | Record<string, Position>;

export type ResetReason =
  /** The server no longer keeps all that was missed. */
  | 'not_recovered'
  /** The channel's stream was made anew, and does not begin with this message. */
  | 'new_epoch'
  /** The server told of a hole: traffic that was not stored, or history that expired during a replay. */
  | 'history_gap';

/** Messages may be missing: reload what you derived from them. What follows goes on from `positions`. */
export interface Reset {
  readonly reason: ResetReason;
  /** Where each stream concerned stands now, by channel. */
  readonly positions: Readonly<Record<string, Position>>;
}

/** The cursors of all streams that reach one subscription: its channel, or the channels of its room. */
export class Cursors {
  readonly #address: Address;
  readonly #onReset: (reset: Reset) => void;
  readonly #streams = new Map<string, StreamCursor>();

  constructor(address: Address, onReset: (reset: Reset) => void) {
    this.#address = address;
    this.#onReset = onReset;
  }

  /** The protocol resumes a channel or a room, not the subscription to everything. */
  get resumable(): boolean {
    return this.#address.room !== WILDCARD;
  }

  /** What the next join asks to go on from; undefined when nothing is known yet. */
  since(): Since | undefined {
    const { channel } = this.#address;
    if (channel !== WILDCARD) return this.#streams.get(channel)?.position;
    return this.#streams.size === 0 ? undefined : this.positions();
  }

  positions(): Record<string, Position> {
    return Object.fromEntries([...this.#streams].map(([channel, cursor]) => [channel, cursor.position]));
  }

  /** The user's own `since`, before the first join. */
  seed(since: Since): void {
    const map = isPosition(since) ? { [this.#address.channel]: since } : since;
    for (const [channel, position] of Object.entries(map)) this.#streams.set(channel, new StreamCursor(position));
  }

  /** The answer to a join without `since`; `history` envelopes of the joined stream precede live traffic. */
  begin(result: JoinResult, history = 0): void {
    for (const [channel, position] of this.#told(result)) {
      // Of a room, only the room-wide stream is replayed.
      const replayed = channel === this.#address.channel ? history : 0;
      const sequence = Math.max(0, position.sequence - replayed);
      this.#streams.set(channel, new StreamCursor({ ...position, sequence }, position.sequence));
    }
  }

  /** The answer to a join with `since`. */
  resume(result: JoinResult): void {
    const told = this.#told(result);
    if (!this.resumable) {
      this.#onReset({ reason: 'not_recovered', positions: {} });
      return;
    }
    if (result.recovered !== true) {
      const isUnchanged = told.every(([channel, position]) => this.#streams.get(channel)?.standsAt(position) === true);
      for (const [channel, position] of told) this.#streams.set(channel, new StreamCursor(position));
      if (!isUnchanged) this.#onReset({ reason: 'not_recovered', positions: Object.fromEntries(told) });
      return;
    }
    for (const [channel, position] of told) {
      const cursor = this.#streams.get(channel);
      if (cursor?.epoch === position.epoch) cursor.expect(position.sequence);
      // Made meanwhile: its replay begins with the oldest envelope that is kept, whichever that is.
      else this.#streams.set(channel, new StreamCursor({ sequence: 0, epoch: position.epoch }, position.sequence));
    }
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
      // Room-wide events reach the members of a channel too; their replays belong to a subscription of the room.
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
    if (cursor === undefined) return [];
    this.#onReset({ reason: 'history_gap', positions: { [channel]: cursor.position } });
    return cursor.release();
  }

  /** Whether what is not taken now will come with the next join. */
  canReplay({ position, channel = WILDCARD }: Message): boolean {
    return this.resumable && position !== undefined && this.#covers(channel);
  }

  #covers(channel: string): boolean {
    return this.#address.channel === WILDCARD || this.#address.channel === channel;
  }

  #told({ channel, sequence, epoch, positions }: JoinResult): [string, Position][] {
    if (!this.resumable) return [];
    return Object.entries(positions ?? { [channel]: { sequence, epoch } });
  }
}

function isPosition(since: Since): since is Position {
  return typeof since.sequence === 'number';
}
