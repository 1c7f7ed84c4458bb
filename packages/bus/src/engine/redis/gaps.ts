import { randomToken } from '@arqonbus/protocol';
import type { EngineEvents, Missed, Missing } from '../engine.ts';
import type { Entry } from './entry.ts';
import type { Feed } from './feed.ts';
import { entriesFrom, positions } from './history.ts';
import type { Keys } from './keys.ts';
import { type Cursor, incarnation, moveCursor, type Position, type Room } from './room.ts';
import { RENEW } from './scripts.ts';
import { inTurns, lossyRun, type Session } from './session.ts';

/** A range of one stream that this node missed. */
interface Lack {
  readonly room: Room;
  readonly cursor: Cursor;
  readonly epoch: string;
  upTo: number;
}

/**
 * Determines what this node missed: after a reconnect in all streams of all rooms, and within a connection in the
 * stream with a missing event. The bus is notified and delivers it to members; later events are held back in the
 * meantime.
 */
export class Gaps {
  private readonly keys: Keys;
  private readonly feed: Feed;
  private readonly engine: EngineEvents;
  private session: Session | null = null;

  constructor(keys: Keys, feed: Feed, engine: EngineEvents) {
    this.keys = keys;
    this.feed = feed;
    this.engine = engine;
  }

  /** From now on only events read in this session are delivered; with null none are until the next. */
  use(session: Session | null): void {
    this.session = session;
  }

  /**
   * Compares every room with the server, has missed events delivered to members, and opens the rooms. `verify` also
   * checks that a stream's last event is still the one that members saw: a restarted server may have lost the tail of
   * its streams.
   */
  async rooms(session: Session, rooms: readonly Room[], verify: boolean): Promise<void> {
    const streams: { readonly room: Room; readonly channel: string; readonly position: Position }[] = [];
    await inTurns(rooms, async (room) => {
      const standings = await positions(session, this.keys, room.tenant, room.name);
      if (room.state !== 'open') return room.begin(standings);
      for (const [channel, cursor] of room.cursors) {
        if (!standings.has(channel)) this.forget(room, cursor);
      }
      for (const [channel, position] of standings) streams.push({ room, channel, position });
    });
    const lacks: Lack[] = [];
    await inTurns(streams, async ({ room, channel, position }) => {
      const cursor = room.cursor(channel, position.epoch);
      if (!(await this.isBehind(session, room, cursor, position, verify))) return;
      lacks.push({ room, cursor, epoch: position.epoch, upTo: position.sequence });
    });
    if (lacks.length > 0) {
      await session.fence();
      this.leaveToLive(lacks);
    }
    const byTenant = new Map<string, Lack[]>();
    for (const lack of lacks) {
      const some = byTenant.get(lack.room.tenant);
      if (some === undefined) byTenant.set(lack.room.tenant, [lack]);
      else some.push(lack);
    }
    await Promise.all([...byTenant].map(([tenant, some]) => this.tell(session, tenant, '*', some)));
    for (const room of rooms) this.feed.opened(room);
  }

  /** Reports what is missing of one stream up to a sequence. Rejects only when the connection is lost. */
  missing(session: Session, room: Room, cursor: Cursor, upTo: number): Promise<void> {
    return this.tell(session, room.tenant, room.name, [{ room, cursor, epoch: cursor.epoch, upTo }]);
  }

  /**
   * Gives a stream that lost its tail a new epoch, and notifies members that they cannot continue from their position.
   */
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

  /** Whether members lack something of a stream at this position; moves its cursor to the current epoch. */
  private async isBehind(
    session: Session,
    room: Room,
    cursor: Cursor,
    position: Position,
    verify: boolean,
  ): Promise<boolean> {
    if (cursor.epoch !== position.epoch) {
      const renewed = incarnation(cursor.epoch) === incarnation(position.epoch);
      moveCursor(cursor, position.epoch, renewed ? position.sequence : 0);
      this.engine.historyGap(room.stream(cursor.channel));
    }
    if (cursor.last > position.sequence || (verify && (await this.isAnother(session, room, cursor)))) {
      await this.renew(session, room, cursor);
      return false;
    }
    return cursor.last < position.sequence;
  }

  /** Whether another event is in the place of the last one that members received. */
  private async isAnother(session: Session, room: Room, cursor: Cursor): Promise<boolean> {
    const { lastTag: tag, last } = cursor;
    if (tag === null) return false;
    const [entry] = await entriesFrom(session, this.keys, room.stream(cursor.channel), cursor.epoch, [last, last], 1);
    return entry !== undefined && (entry.tag.origin !== tag.origin || entry.tag.number !== tag.number);
  }

  /**
   * Rooms are checked one after the other: of two events of one sender, the first may lie beyond its room's end when
   * that was checked, and so arrive live, while the second does not. So events stored after the first event that
   * arrives live, and that are themselves waiting, are left to arrive live too.
   */
  private leaveToLive(lacks: readonly Lack[]): void {
    const byCursor = new Map(lacks.map((lack) => [lack.cursor, lack]));
    const { waiting } = this.feed;
    let first = Number.POSITIVE_INFINITY;
    for (const { room, entry } of waiting) {
      const cursor = room.cursors.get(entry.channel);
      const end = cursor?.epoch === entry.epoch ? (byCursor.get(cursor)?.upTo ?? cursor.last) : 0;
      if (entry.sequence > end) first = Math.min(first, entry.order);
    }
    for (const { room, entry } of waiting) {
      const cursor = room.cursors.get(entry.channel);
      const lack = cursor === undefined ? undefined : byCursor.get(cursor);
      if (lack !== undefined && lack.epoch === entry.epoch && entry.order > first) {
        lack.upTo = Math.max(lack.cursor.last, Math.min(lack.upTo, entry.sequence - 1));
      }
    }
  }

  private async tell(session: Session, tenant: string, room: string, lacks: readonly Lack[]): Promise<void> {
    await this.engine.gap(
      tenant,
      room,
      lacks.map((lack) => this.describe(session, lack)),
    );
    if (this.session !== session) throw lost();
    for (const { cursor, epoch, upTo } of lacks) {
      if (cursor.epoch !== epoch) continue;
      cursor.last = Math.max(cursor.last, upTo);
      // Events of this range that also arrive live do not indicate a stream that lost its tail.
      cursor.base = Math.max(cursor.base, upTo);
    }
  }

  private describe(session: Session, lack: Lack): Missing {
    const { room, cursor, epoch, upTo } = lack;
    const stream = room.stream(cursor.channel);
    return {
      stream,
      after: cursor.last,
      upTo,
      read: async (after, limit) => {
        const entries = await entriesFrom(session, this.keys, stream, epoch, [after + 1, upTo], limit);
        return entries.map((entry) => this.missed(session, lack, entry));
      },
    };
  }

  private missed(session: Session, { room, cursor, epoch }: Lack, entry: Entry): Missed {
    const { sequence, order, open } = entry;
    return {
      sequence,
      order,
      bytes: open.length,
      hand: () => {
        // The next connection continues where this one ended.
        if (this.session !== session) throw lost();
        const isWanted = this.feed.rooms.get(room.topic) === room;
        if (isWanted && cursor.epoch === epoch && sequence > cursor.last) this.feed.deliver(room, cursor, entry);
      },
    };
  }

  private forget(room: Room, cursor: Cursor): void {
    room.cursors.delete(cursor.channel);
    if (cursor.last > 0) this.engine.historyGap(room.stream(cursor.channel));
  }
}

function lost(): Error {
  return new Error('the connection was lost');
}
