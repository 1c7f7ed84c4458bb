import type { StreamAddress } from '../engine.ts';
import type { Entry, Tag } from './entry.ts';

/** The position of this node's members in one stream. */
export interface Cursor {
  readonly channel: string;
  epoch: string;
  /** The last sequence delivered to members, or skipped. */
  last: number;
  /** Events up to this sequence were not owed to members, or were delivered from history. */
  base: number;
  /** The event at `last`, used to detect a stream that lost its tail and grew again. */
  lastTag: Tag | null;
}

/** A stream's state in Redis: its last sequence and its epoch. */
export interface Position {
  readonly sequence: number;
  readonly epoch: string;
}

/** A room whose events this node wants. */
export class Room {
  readonly tenant: string;
  readonly name: string;
  topic: string;
  /** Attached by name; false if only all rooms of its tenant are. */
  explicit = false;
  /**
   * `opening`: subscribed or about to be, but the state of its streams is unknown: its events wait. `open`: events are
   * delivered.
   */
  state: 'opening' | 'open' = 'opening';
  readonly cursors: Map<string, Cursor> = new Map();
  waiting: Entry[] = [];
  /** Some of the waiting events were dropped. */
  isBehind = false;

  constructor(tenant: string, name: string, topic: string) {
    this.tenant = tenant;
    this.name = name;
    this.topic = topic;
  }

  stream(channel: string): StreamAddress {
    return { tenant: this.tenant, room: this.name, channel };
  }

  /** The cursor of a channel; a channel that did not exist when the room was opened is followed from its beginning. */
  cursor(channel: string, epoch: string): Cursor {
    let cursor = this.cursors.get(channel);
    if (cursor === undefined) {
      // Copies, so that the message the names were sliced from is not kept alive.
      cursor = { channel: copied(channel), epoch: copied(epoch), last: 0, base: 0, lastTag: null };
      this.cursors.set(cursor.channel, cursor);
    }
    return cursor;
  }

  /** Starts after these positions: later events are owed to members. */
  begin(positions: ReadonlyMap<string, Position>): void {
    this.cursors.clear();
    for (const [channel, { sequence, epoch }] of positions) {
      this.cursors.set(channel, { channel, epoch, last: sequence, base: sequence, lastTag: null });
    }
  }
}

/** Moves a cursor to another epoch, in which nothing up to `sequence` is owed. */
export function moveCursor(cursor: Cursor, epoch: string, sequence: number): void {
  cursor.epoch = copied(epoch);
  cursor.last = sequence;
  cursor.base = sequence;
  cursor.lastTag = null;
}

/** An epoch without its renewal suffix: stays the same as long as the stream is not dropped. */
export function incarnation(epoch: string): string {
  const dash = epoch.indexOf('-');
  return dash < 0 ? epoch : epoch.slice(0, dash);
}

function copied(text: string): string {
  return Buffer.from(text).toString();
}
