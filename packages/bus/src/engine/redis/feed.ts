import type { EngineEvents } from '../engine.ts';
import { decodeMessage, type Entry, streamEvent, type Tag } from './entry.ts';
import { type Cursor, incarnation, moveCursor, type Room } from './room.ts';

/** Maximum UTF-16 units of events waiting while the feed is stopped. */
const MOST_WAITING = 32 * 1_048_576;
/** Size of an event besides its text. */
const OVERHEAD = 256;
const WINDOW = 8_192;
const ORIGINS = 128;

export interface FeedEvents {
  /** A publication of this process arrived and was delivered to this many connections. */
  arrived(number: number, entry: Entry, delivered: number): void;
  /** Events up to a sequence are missing: delivers them, or moves the cursor past what is no longer kept. */
  missing(room: Room, cursor: Cursor, upTo: number): Promise<void>;
  /** The stream lost its tail and grew again: another event has a sequence that members have already seen. */
  rolledBack(room: Room, cursor: Cursor): Promise<void>;
  /** Too many events arrived while stopped and were dropped: delivers what is missing in all rooms. */
  overrun(): Promise<void>;
}

/** An event that arrived while stopped. */
export interface Waiting {
  readonly room: Room;
  readonly entry: Entry;
}

/**
 * The only path by which events reach this node's members: everything published passes through here, in the order in
 * which the server published it, including the node's own publications. Every event is checked against its stream's
 * cursor: a repeat is dropped, and at a gap the whole feed stops until the gap is filled from the stream, so that the
 * order across streams is kept as well.
 */
export class Feed {
  readonly rooms: Map<string, Room> = new Map();
  readonly recent: RecentTags = new RecentTags();
  private readonly origin: string;
  private readonly engine: EngineEvents;
  private readonly events: FeedEvents;
  private readonly roomOf: (topic: string) => Room | undefined;
  private queue: Waiting[] = [];
  /** Stopped until the first server has answered. */
  private stops = 1;
  private round = 0;
  private waitingText = 0;
  private isOverrun = false;

  /** `origin`: this process's part of a tag; `roomOf`: the room of a topic received through interest in all rooms. */
  constructor(origin: string, engine: EngineEvents, events: FeedEvents, roomOf: (topic: string) => Room | undefined) {
    this.origin = origin;
    this.engine = engine;
    this.events = events;
    this.roomOf = roomOf;
  }

  /** The waiting events, in order of arrival. */
  get waiting(): readonly Waiting[] {
    return this.queue;
  }

  accept(topic: string, message: string): void {
    const room = this.rooms.get(topic) ?? this.roomOf(topic);
    if (room === undefined) return;
    const entry = decodeMessage(message);
    if (room.state === 'open' && this.stops === 0) this.take(room, entry);
    else this.wait(room, entry);
  }

  /** Holds everything back until {@link restart}: the connection was lost, or is being brought up to date. */
  stop(): void {
    this.stops += 1;
  }

  /** Drops what is waiting: on a new connection everything that members lack is determined again. */
  forget(): void {
    this.drop();
    this.isOverrun = false;
    for (const room of this.rooms.values()) room.isBehind = false;
  }

  /** Members are up to date with what was published before: events that arrived in the meantime are processed. */
  restart(): void {
    this.round += 1;
    this.stops = 0;
    this.drain();
  }

  /** The room's cursors are set: its events continue, starting with those that are waiting. */
  opened(room: Room): void {
    room.state = 'open';
    const { waiting } = room;
    room.waiting = [];
    for (const entry of waiting) {
      this.waitingText -= sizeOf(entry);
      if (this.stops > 0) this.wait(room, entry);
      else this.take(room, entry);
    }
    if (room.isBehind) this.isOverrun = true;
    room.isBehind = false;
    this.drain();
  }

  /** Whether an event is still on its way to this node's members. */
  expects(topic: string, channel: string, epoch: string, sequence: number): boolean {
    const room = this.rooms.get(topic) ?? this.roomOf(topic);
    if (room === undefined || room.state !== 'open') return false;
    const cursor = room.cursors.get(channel);
    return cursor === undefined || cursor.epoch !== epoch || cursor.last < sequence;
  }

  /** The stream has reached this position according to an answer; events that have not arrived are fetched. */
  reach(topic: string, channel: string, epoch: string, sequence: number): void {
    const room = this.rooms.get(topic);
    if (room === undefined || this.stops > 0 || !this.expects(topic, channel, epoch, sequence)) return;
    const cursor = room.cursor(channel, epoch);
    if (cursor.epoch === epoch) this.pause(this.events.missing(room, cursor, sequence));
  }

  /** Delivers an event in stream order: the caller has made sure that it is the next one. */
  deliver(room: Room, cursor: Cursor, entry: Entry): void {
    cursor.last = entry.sequence;
    cursor.lastTag = entry.tag;
    let delivered = 0;
    if (!this.recent.has(entry.tag)) {
      this.recent.add(entry.tag);
      delivered = this.engine.deliver(streamEvent(room.tenant, room.name, entry));
    }
    if (entry.tag.origin === this.origin) this.events.arrived(entry.tag.number, entry, delivered);
  }

  private take(room: Room, entry: Entry): void {
    if (this.rooms.get(room.topic) !== room) return;
    const cursor = this.cursorFor(room, entry);
    if (entry.sequence === cursor.last + 1) this.deliver(room, cursor, entry);
    else if (entry.sequence > cursor.last) this.fill(room, cursor, entry);
    else if (entry.sequence > cursor.base && !this.recent.has(entry.tag)) {
      this.pause(this.events.rolledBack(room, cursor));
    }
  }

  private cursorFor(room: Room, entry: Entry): Cursor {
    const cursor = room.cursor(entry.channel, entry.epoch);
    if (cursor.epoch === entry.epoch) return cursor;
    // A stream that was dropped, forgotten or lost starts over; one that lost events continues from here.
    const renewed = incarnation(cursor.epoch) === incarnation(entry.epoch);
    const hadEvents = cursor.last > 0;
    moveCursor(cursor, entry.epoch, renewed ? entry.sequence - 1 : 0);
    if (renewed || hadEvents) this.engine.historyGap(room.stream(cursor.channel));
    return cursor;
  }

  private wait(room: Room, entry: Entry): void {
    if (!this.isOverrun) {
      this.waitingText += sizeOf(entry);
      if (this.waitingText > MOST_WAITING) this.drop();
      else if (room.state === 'open') this.queue.push({ room, entry });
      else room.waiting.push(entry);
    }
    if (this.isOverrun && room.state !== 'open') room.isBehind = true;
  }

  /** Drops waiting events, and all that arrive until the rooms are compared with the server again. */
  private drop(): void {
    this.isOverrun = true;
    this.waitingText = 0;
    this.queue = [];
    for (const room of this.rooms.values()) {
      if (room.waiting.length > 0) room.isBehind = true;
      room.waiting = [];
    }
  }

  private fill(room: Room, cursor: Cursor, entry: Entry): void {
    this.waitingText += sizeOf(entry);
    this.queue.unshift({ room, entry });
    this.pause(this.events.missing(room, cursor, entry.sequence - 1));
  }

  /** Stops the feed until `work` is done. If it fails, the connection was lost: stays stopped until the next one. */
  private pause(work: Promise<void>): void {
    const { round } = this;
    this.stops += 1;
    work.then(
      () => {
        if (this.round !== round) return;
        this.stops -= 1;
        this.drain();
      },
      () => {},
    );
  }

  private drain(): void {
    while (this.stops === 0 && (this.isOverrun || this.queue.length > 0)) {
      if (this.isOverrun) {
        this.isOverrun = false;
        this.pause(this.events.overrun());
        return;
      }
      const waiting = this.queue;
      this.queue = [];
      for (const [index, { room, entry }] of waiting.entries()) {
        if (this.stops > 0) {
          // `take` may have put one back at the front.
          this.queue = this.queue.concat(waiting.slice(index));
          break;
        }
        this.waitingText -= sizeOf(entry);
        this.take(room, entry);
      }
    }
  }
}

function sizeOf({ open }: Entry): number {
  return open.length + OVERHEAD;
}

/**
 * The publications this node has recently delivered to its members: the last {@link WINDOW} of each process. A stream's
 * sequence detects repeats as long as the stream exists; these tags detect them when a server that lost its data
 * receives a publication again.
 */
export class RecentTags {
  private readonly origins = new Map<string, Float64Array>();

  has(tag: Tag): boolean {
    return this.origins.get(tag.origin)?.[tag.number % WINDOW] === tag.number;
  }

  add(tag: Tag): void {
    let numbers = this.origins.get(tag.origin);
    if (numbers === undefined) {
      numbers = new Float64Array(WINDOW);
      if (this.origins.size === ORIGINS) this.forgetOldest();
      // A copy, so that the text the origin was sliced from is not kept alive.
      this.origins.set(Buffer.from(tag.origin).toString(), numbers);
    }
    numbers[tag.number % WINDOW] = tag.number;
  }

  private forgetOldest(): void {
    const oldest = this.origins.keys().next();
    if (!oldest.done) this.origins.delete(oldest.value);
  }
}
