import type { StreamAddress } from '../engine.ts';
import type { Entry, Tag } from './entry.ts';

/** How far this node's members are in one stream. */
export interface Cursor {
  readonly channel: string;
  epoch: string;
  /** The last sequence handed to members, or passed by. */
  last: number;
  /** What is at or below it was never owed to members, or was brought to them from history. */
  base: number;
  /** The event at `last`, by which a stream that lost its end and grew again is found out. */
  lastTag: Tag | null;
}

/** What Redis says of a stream: its last sequence and its epoch. */
export interface Position {
  readonly sequence: number;
  readonly epoch: string;
}

/** A room whose events this node wants. */
export class Room {
  readonly tenant: string;
  readonly name: string;
  topic: string;
  /** Attached by its name; false when only all rooms of its tenant are. */
  explicit = false;
  /**
   * `opening`: subscribed or about to be, but where its streams stood is not known: its events wait. `open`: every
   * event goes on.
   */
  state: 'opening' | 'open' = 'opening';
  readonly cursors: Map<string, Cursor> = new Map();
  waiting: Entry[] = [];
  /** Some of what waited was dropped. */
  isBehind = false;

  constructor(tenant: string, name: string, topic: string) {
    this.tenant = tenant;
    this.name = name;
    this.topic = topic;
  }

  stream(channel: string): StreamAddress {
    return { tenant: this.tenant, room: this.name, channel };
  }

  /** The cursor of a channel; one that was not there when the room was opened has been seen since its beginning. */
  cursor(channel: string, epoch: string): Cursor {
    let cursor = this.cursors.get(channel);
    if (cursor === undefined) {
      // Copies: the message that the names were cut from must not live as long as the cursor.
      cursor = { channel: copied(channel), epoch: copied(epoch), last: 0, base: 0, lastTag: null };
      this.cursors.set(cursor.channel, cursor);
    }
    return cursor;
  }

  /** Owes members what comes after these positions. */
  begin(positions: ReadonlyMap<string, Position>): void {
    this.cursors.clear();
    for (const [channel, { sequence, epoch }] of positions) {
      this.cursors.set(channel, { channel, epoch, last: sequence, base: sequence, lastTag: null });
    }
  }
}

/** Sets a cursor onto another epoch, from whose position nothing is owed before `sequence`. */
export function moveCursor(cursor: Cursor, epoch: string, sequence: number): void {
  cursor.epoch = copied(epoch);
  cursor.last = sequence;
  cursor.base = sequence;
  cursor.lastTag = null;
}

/** An epoch without its renewal: what stays the same as long as the stream is not dropped. */
export function incarnation(epoch: string): string {
  const dash = epoch.indexOf('-');
  return dash < 0 ? epoch : epoch.slice(0, dash);
}

function copied(text: string): string {
  return Buffer.from(text).toString();
}
