import { randomToken } from '@arqonbus/protocol';
import type { EngineEvents } from '../engine.ts';
import type { Entry } from './entry.ts';
import type { Feed } from './feed.ts';
import { entriesBetween, positions } from './history.ts';
import type { Keys } from './keys.ts';
import { type Cursor, incarnation, moveCursor, type Position, type Room } from './room.ts';
import { RENEW } from './scripts.ts';
import { inTurns, lossyRun, type Session } from './session.ts';

/** One stream of which members have missed something. */
interface Missed {
  readonly room: Room;
  readonly cursor: Cursor;
  readonly entries: Entry[];
}

/**
 * Brings this node's members up to where the streams stand: after a reconnect all streams of all rooms, and within a
 * connection the one in which an event is missing. What is no longer kept is told as a gap.
 */
export class CatchUp {
  private readonly keys: Keys;
  private readonly feed: Feed;
  private readonly engine: EngineEvents;

  constructor(keys: Keys, feed: Feed, engine: EngineEvents) {
    this.keys = keys;
    this.feed = feed;
    this.engine = engine;
  }

  /**
   * Compares every room with the server, hands on what was missed in the order in which it was published, and opens
   * the rooms. `verify` also looks whether a stream's last event is still the one that members saw: a server that was
   * started again may have lost the end of its streams.
   */
  async rooms(session: Session, rooms: readonly Room[], verify: boolean): Promise<void> {
    const missed: Missed[] = [];
    await inTurns(rooms, async (room) => {
      const standings = await positions(session, this.keys, room.tenant, room.name);
      if (room.state !== 'open') return room.begin(standings);
      for (const [channel, cursor] of room.cursors) {
        if (!standings.has(channel)) this.forget(room, cursor);
      }
      for (const [channel, position] of standings) {
        const entries = await this.compare(session, room, room.cursor(channel, position.epoch), position, verify);
        if (entries.length > 0) missed.push({ room, cursor: room.cursor(channel, position.epoch), entries });
      }
    });
    this.deliver(missed);
    for (const room of rooms) this.feed.opened(room);
  }

  /** Fetches what is missing of one stream up to a sequence. Rejects only when the connection is lost. */
  async missing(session: Session, room: Room, cursor: Cursor, upTo: number): Promise<void> {
    const entries = await entriesBetween(session, this.keys, room, cursor.channel, cursor.epoch, cursor.last + 1, upTo);
    this.pass(room, cursor, entries, upTo);
    this.deliver([{ room, cursor, entries }]);
  }

  /** Gives a stream that lost its end a new epoch, and tells members that they cannot go on from what they have. */
  async renew(session: Session, room: Room, cursor: Cursor): Promise<void> {
    const answer = await session.run(
      RENEW,
      [this.keys.room(room.tenant, room.name)],
      [cursor.channel, cursor.epoch, randomToken(6), lossyRun(session)],
    );
    const [sequence, epoch] = answer as [string?, string?];
    if (sequence === undefined || epoch === undefined) this.forget(room, cursor);
    else {
      moveCursor(cursor, epoch, Number(sequence));
      this.engine.historyGap(room.stream(cursor.channel));
    }
  }

  private async compare(
    session: Session,
    room: Room,
    cursor: Cursor,
    position: Position,
    verify: boolean,
  ): Promise<Entry[]> {
    if (cursor.epoch !== position.epoch) {
      const renewed = incarnation(cursor.epoch) === incarnation(position.epoch);
      moveCursor(cursor, position.epoch, renewed ? position.sequence : 0);
      this.engine.historyGap(room.stream(cursor.channel));
      if (renewed) return [];
    }
    const tag = verify ? cursor.lastTag : null;
    if (cursor.last > position.sequence) {
      await this.renew(session, room, cursor);
      return [];
    }
    if (cursor.last === position.sequence && tag === null) return [];
    const from = tag === null ? cursor.last + 1 : cursor.last;
    const { channel, epoch } = cursor;
    const entries = await entriesBetween(session, this.keys, room, channel, epoch, from, position.sequence);
    const first = entries[0];
    if (tag !== null && first?.sequence === cursor.last) {
      if (first.tag.origin !== tag.origin || first.tag.number !== tag.number) {
        await this.renew(session, room, cursor);
        return [];
      }
      entries.shift();
    }
    this.pass(room, cursor, entries, position.sequence);
    return entries;
  }

  /** Tells a gap when `entries` are not all from the cursor to `upTo`, and sets the cursor before those that are. */
  private pass(room: Room, cursor: Cursor, entries: readonly Entry[], upTo: number): void {
    if (entries.length === upTo - cursor.last) return;
    this.engine.historyGap(room.stream(cursor.channel));
    cursor.last = Math.max(cursor.last, (entries[0]?.sequence ?? upTo + 1) - 1);
  }

  private forget(room: Room, cursor: Cursor): void {
    room.cursors.delete(cursor.channel);
    if (cursor.last > 0) this.engine.historyGap(room.stream(cursor.channel));
  }

  /** Hands events of many streams on in the order in which they were published, each stream in its own. */
  private deliver(missed: readonly Missed[]): void {
    const all: { missed: Missed; entry: Entry; order: number }[] = [];
    for (const each of missed) {
      let order = 0;
      for (const entry of each.entries) {
        // A server's clock may be set back; a stream's order may not.
        order = Math.max(order, entry.order);
        all.push({ missed: each, entry, order });
      }
    }
    all.sort((left, right) => left.order - right.order);
    for (const { missed: each, entry } of all) this.feed.deliver(each.room, each.cursor, entry);
  }
}
