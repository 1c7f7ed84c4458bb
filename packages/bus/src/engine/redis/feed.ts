import type { EngineEvents } from '../engine.ts';
import { decodeMessage, type Entry, streamEvent, type Tag } from './entry.ts';
import { type Cursor, incarnation, moveCursor, type Room } from './room.ts';

/** UTF-16 units of events that wait while nothing may pass. */
const MOST_WAITING = 32 * 1_048_576;
/** What an event takes beside its text. */
const OVERHEAD = 256;
const WINDOW = 8_192;
const ORIGINS = 128;

export interface FeedEvents {
  /** A publication of this process came by: how many connections it was handed to. */
  arrived(number: number, entry: Entry, delivered: number): void;
  /** Events up to a sequence are missing: has them delivered, or moves the cursor over what is no longer kept. */
  missing(room: Room, cursor: Cursor, upTo: number): Promise<void>;
  /** The stream lost its end and grew again: another event has a sequence that members have seen. */
  rolledBack(room: Room, cursor: Cursor): Promise<void>;
  /** So much came while nothing might pass that it was dropped: has what is missing of all rooms delivered. */
  overrun(): Promise<void>;
}

/** An event that came while nothing might pass. */
export interface Waiting {
  readonly room: Room;
  readonly entry: Entry;
}

/**
 * The one way by which events reach this node's members: everything that is published comes through here, in the order
 * in which the server published it, the node's own publications too. Every event is checked against its stream's
 * cursor: a repeat is dropped, and before a gap the whole feed stops until the gap is filled from the stream, so that
 * the order across streams holds as well.
 */
export class Feed {
  readonly rooms: Map<string, Room> = new Map();
  readonly recent: RecentTags = new RecentTags();
  private readonly origin: string;
  private readonly engine: EngineEvents;
  private readonly events: FeedEvents;
  private readonly roomOf: (topic: string) => Room | undefined;
  private queue: Waiting[] = [];
  /** Nobody passes before the first server answered. */
  private stops = 1;
  private round = 0;
  private waitingText = 0;
  private isOverrun = false;

  /** `origin` is this process's part of a tag; `roomOf` answers the room of a topic that all-rooms interest brought. */
  constructor(origin: string, engine: EngineEvents, events: FeedEvents, roomOf: (topic: string) => Room | undefined) {
    this.origin = origin;
    this.engine = engine;
    this.events = events;
    this.roomOf = roomOf;
  }

  /** What waits, in the order in which it came. */
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

  /** Forgets what waits: a new connection begins, in which all that members lack is found anew. */
  forget(): void {
    this.drop();
    this.isOverrun = false;
    for (const room of this.rooms.values()) room.isBehind = false;
  }

  /** Members are up to date with what was published before: what arrived meanwhile goes on. */
  restart(): void {
    this.round += 1;
    this.stops = 0;
    this.drain();
  }

  /** The room's cursors are set: its events go on, those first that came meanwhile. */
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

  /** Whether an event of this place is still on its way to this node's members. */
  expects(topic: string, channel: string, epoch: string, sequence: number): boolean {
    const room = this.rooms.get(topic) ?? this.roomOf(topic);
    if (room === undefined || room.state !== 'open') return false;
    const cursor = room.cursors.get(channel);
    return cursor === undefined || cursor.epoch !== epoch || cursor.last < sequence;
  }

  /** The stream has reached this place, as an answer told; an event that has not come by is fetched. */
  reach(topic: string, channel: string, epoch: string, sequence: number): void {
    const room = this.rooms.get(topic);
    if (room === undefined || this.stops > 0 || !this.expects(topic, channel, epoch, sequence)) return;
    const cursor = room.cursor(channel, epoch);
    if (cursor.epoch === epoch) this.pause(this.events.missing(room, cursor, sequence));
  }

  /** Hands an event on, in its stream's order: the caller has made sure that it is the next one. */
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
    // A stream that was dropped, forgotten or lost begins anew; one that has lost events goes on from here.
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

  /** Forgets what waits, and all that comes until the rooms are compared with the server once more. */
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

  /** Lets nothing pass until `work` is done. When it fails the connection was lost: nothing passes until the next. */
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
          // `take` may have put one back in front of the rest.
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
 * The publications that this node has handed to its members lately: the last {@link WINDOW} of each process. A stream's
 * sequence tells repeats as long as the stream lives; these tags do so when a server that lost its data is given a
 * publication again.
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
      // A copy: the text that the origin was cut from must not live as long as this map.
      this.origins.set(Buffer.from(tag.origin).toString(), numbers);
    }
    numbers[tag.number % WINDOW] = tag.number;
  }

  private forgetOldest(): void {
    const oldest = this.origins.keys().next();
    if (!oldest.done) this.origins.delete(oldest.value);
  }
}
