import { encode, isExpired, type Position } from '@arqonbus/protocol';
import { isPending } from '../awaitable.ts';
import { Run } from '../connection/frame.ts';
import type { Session } from '../connection/session.ts';
import { hearsItself } from '../echo.ts';
import type { Broker, StoredEvent, StreamEvent } from '../engine/engine.ts';
import type { Channel, Rooms } from '../rooms.ts';
import type { ReplayedFrames } from './replayed-frames.ts';

/** Maximum number of envelopes per history read. */
const MOST = 64;
/** Envelopes in the first read, before their size is known. */
const FIRST = 8;
/** Maximum unsent replay bytes before waiting for the connection to drain. A small backlog limit lowers it further. */
const MAX_UNSENT = 262_144;
/** Maximum bytes of frames that are joined for all that replay them. */
const MAX_RUN = 65_536;
/** Live events held back during the replay; beyond it they are dropped and read from history instead. */
const MAX_HELD = 512;

export interface CatchUpParts {
  readonly broker: Broker;
  readonly rooms: Pick<Rooms, 'policy'>;
  readonly now: () => number;
  readonly frames: ReplayedFrames;
}

/** One stream to replay: everything after `after`. */
export interface Missed {
  readonly channel: Channel;
  readonly after: number;
}

/**
 * Replays what a member missed and then hands over to live traffic, without gap, duplicate or reordering (PROTOCOL
 * section 6, guarantee 4). Live events that arrive in the meantime are held back; the replay is done when it reaches
 * the first of them. It reads the next batch only once the connection has drained, so it does not cause slow consumers.
 *
 * History may be ahead of live traffic if the two arrive on different paths: the member then goes live only when live
 * traffic has reached the end of the replay, and events already replayed are dropped.
 */
export class CatchUp {
  readonly session: Session;
  /** What the session joined: a channel, a pattern, or the room-wide channel for a room subscription. */
  readonly channel: Channel;
  private readonly broker: Broker;
  private readonly onDone: (catchUp: CatchUp) => void;
  private readonly rooms: CatchUpParts['rooms'];
  private readonly now: () => number;
  private readonly frames: ReplayedFrames;
  private readonly unsent: number;
  /** Whether it carries only the streams passed to {@link startAfter}. */
  private readonly isListedOnly: boolean;
  /** By channel name: an idle channel may have been recreated since the member joined. */
  private readonly cursors: Map<string, Cursor> = new Map();
  /** Streams that reach the session another way. */
  private readonly leftOut: Set<string> = new Set();
  /** After the replay: the channels in which live traffic is still behind it. */
  private ahead: Set<string> | null = null;
  private held: { channel: Channel; event: StreamEvent }[] = [];
  private overflowed = false;
  private stopped = false;

  /** Live events are held back from now on, once it is registered with the hub. */
  constructor(
    session: Session,
    channel: Channel,
    { broker, rooms, now, frames }: CatchUpParts,
    onDone: (catchUp: CatchUp) => void,
    isListedOnly = false,
  ) {
    this.isListedOnly = isListedOnly;
    this.now = now;
    this.frames = frames;
    this.rooms = rooms;
    this.session = session;
    this.channel = channel;
    this.broker = broker;
    this.onDone = onDone;
    this.unsent = Math.min(MAX_UNSENT, session.outbox.limit / 4);
  }

  /**
   * Live events of `channel` up to this position are not sent to this member: it joined after them.
   *
   * @param from the sequence after which its replay starts
   */
  startAfter(channel: Channel, { sequence, epoch }: Position, from: number = sequence): void {
    this.leftOut.delete(channel.channel);
    this.cursors.set(channel.channel, { channel, sequence: from, epoch, from });
  }

  /** This stream's events reach the session another way from now on. */
  leaveOut({ channel: name }: Channel): void {
    this.leftOut.add(name);
    this.cursors.delete(name);
    this.ahead?.delete(name);
    this.held = this.held.filter(({ channel }) => channel.channel !== name);
  }

  /** Whether the session currently gets a channel's events through this catch-up only. */
  carries(channel: Channel): boolean {
    const { channel: name } = channel;
    if (this.stopped || this.leftOut.has(name)) return false;
    if (this.cursors.has(name)) return true;
    if (this.isListedOnly) return false;
    const membership = this.channel.members.get(this.session);
    if (membership === undefined) return false;
    return this.channel.reaches(channel, membership.coverage) && !isLive(this.session, channel);
  }

  /** Whether it delivers all of a stream after this position. */
  covers({ channel: name }: Channel, { sequence, epoch }: Position): boolean {
    const cursor = this.cursors.get(name);
    return cursor !== undefined && cursor.epoch === epoch && sequence >= cursor.from;
  }

  /** The current position in each stream. */
  reached(): { channel: Channel; sequence: number; epoch: string }[] {
    return [...this.cursors.values()];
  }

  /** Replays `missed` in order, then the held events; ends with `onDone`. Rejects when history cannot be read. */
  async run(missed: readonly Missed[]): Promise<void> {
    for (const { channel, after } of missed) this.cursorOf(channel, after).sequence = after;
    let streams = missed.map(({ channel }) => this.cursorOf(channel));
    do {
      this.overflowed = false;
      for (const cursor of streams) {
        for (let more = true, pull = FIRST; more && !this.stopped && this.has(cursor); ) {
          const pulled = this.broker.history(cursor.channel, { fromSequence: cursor.sequence + 1, limit: pull });
          // A synchronous answer is used in the same turn: a small replay finishes before anything else happens.
          const batch = isPending(pulled) ? await pulled : pulled;
          more = batch.length === pull;
          for (const part of this.partsOf(cursor, batch)) {
            if (this.stopped) return;
            if (!this.has(cursor)) break;
            this.forward(cursor, part);
            if (this.session.outbox.backlog <= this.unsent) continue;
            await new Promise<void>((drained) => this.session.outbox.whenDrained(drained));
          }
          const bytes = batch.reduce((sum, { text }) => sum + text.length, 1);
          pull = Math.min(MOST, Math.max(1, Math.ceil((MAX_UNSENT * batch.length) / bytes)));
        }
      }
      streams = [...this.cursors.values()];
    } while (this.overflowed && !this.stopped);
    if (!this.stopped) this.finish();
  }

  /** History can no longer be read: reports a gap for every stream and continues with live events. */
  fail(): void {
    if (this.stopped) return;
    for (const cursor of this.cursors.values()) this.tellGap(cursor);
    this.finish();
  }

  /** Offers a live event; returns true if it will reach the session through this catch-up. */
  offer(channel: Channel, event: StreamEvent): boolean {
    if (!this.carries(channel)) return false;
    if (this.ahead !== null) return this.level(this.ahead, channel, event);
    if (event.sequence > 0) this.cursorOf(channel, event.sequence - 1);
    if (this.overflowed) return true;
    if (this.held.length >= MAX_HELD) {
      this.held = [];
      this.overflowed = true;
      return true;
    }
    this.held.push({ channel, event });
    return true;
  }

  /** The member left or the connection closed. */
  stop(): void {
    this.stopped = true;
    this.held = [];
    this.onDone(this);
  }

  /** Whether a stream is still this catch-up's to replay. */
  private has({ channel }: Cursor): boolean {
    return !this.leftOut.has(channel.channel);
  }

  private cursorOf(channel: Channel, sequence: number = 0): Cursor {
    let cursor = this.cursors.get(channel.channel);
    if (cursor === undefined) {
      cursor = { channel, sequence, epoch: '', from: sequence };
      this.cursors.set(channel.channel, cursor);
    }
    return cursor;
  }

  /** What was read, in one part if it has no gap and no event that may have expired, since others replay the same. */
  private partsOf({ sequence }: Cursor, batch: readonly StoredEvent[]): readonly (StoredEvent | Run)[] {
    const isWhole =
      batch.length > 1 && batch[0]?.sequence === sequence + 1 && batch.at(-1)?.sequence === sequence + batch.length;
    const run = isWhole ? this.frames.runOf(batch, Math.min(MAX_RUN, this.unsent)) : null;
    return run === null ? batch : [run];
  }

  private forward(cursor: Cursor, part: StoredEvent | Run): void {
    if (part instanceof Run) {
      this.session.outbox.push(part);
      cursor.sequence += part.frames.length;
      return;
    }
    const { sequence, text } = part;
    if (sequence > cursor.sequence + 1) this.tellGap(cursor);
    const { frame, expiry } = this.frames.of(text);
    if (expiry > this.now()) this.session.outbox.push(frame);
    cursor.sequence = sequence;
  }

  /** Retention overtook the replay: the loss is reported. */
  private tellGap({ channel: { room, channel }, sequence }: Cursor): void {
    const payload = { event: 'history_gap', room, channel, after_sequence: sequence };
    this.session.send(encode({ type: 'system', room, channel, payload }));
  }

  private finish(): void {
    for (const { channel, event } of this.held) this.pass(channel, event);
    this.held = [];
    const ahead = new Set<string>();
    for (const [name, cursor] of this.cursors) {
      const { sequence, channel } = cursor;
      const reached = this.broker.reached?.(channel);
      const isAhead = reached !== undefined && reached.sequence < sequence && isOfJoin(cursor, reached);
      // Events not yet delivered to this node may still arrive through a repair, for all live members.
      const { lastSequence, lastText } = channel.parent.channels.get(name) ?? channel;
      if (isAhead || (lastText !== null && lastSequence < sequence)) ahead.add(name);
    }
    this.ahead = ahead;
    if (ahead.size === 0) this.stop();
  }

  /** Forwards a live event unless it was replayed; finishes when live traffic has caught up everywhere. */
  private level(ahead: Set<string>, channel: Channel, event: StreamEvent): boolean {
    const cursor = this.cursorOf(channel);
    const { sequence } = cursor;
    const reached = this.broker.reached?.(channel);
    // A stream that lost its tail has a new epoch, of which nothing was replayed.
    if (reached !== undefined && !isOfJoin(cursor, reached)) cursor.sequence = 0;
    const passed = this.pass(channel, event);
    if (event.sequence >= sequence || cursor.sequence !== sequence) ahead.delete(channel.channel);
    if (ahead.size === 0) this.stop();
    return passed;
  }

  /** Sends a live event if the member does not have it yet. */
  private pass(channel: Channel, event: StreamEvent): boolean {
    // Sequence 0 is degraded traffic, which is never replayed.
    if (event.sequence !== 0) {
      const cursor = this.cursorOf(channel);
      if (event.sequence <= cursor.sequence) return false;
      cursor.sequence = event.sequence;
    }
    if (event.from === this.session.id && !hearsItself(this.rooms, this.session, channel)) return false;
    if (isExpired(event.text, this.now())) return false;
    this.session.send(event.text);
    return true;
  }
}

/** The member's progress in one stream. */
interface Cursor {
  readonly channel: Channel;
  /** The last sequence sent, or otherwise known to the client. */
  sequence: number;
  /** The stream's epoch when the member joined. */
  readonly epoch: string;
  /** The sequence after which its replay starts. */
  readonly from: number;
}

/** An unknown epoch counts as the same: no event has arrived yet. */
function isOfJoin({ epoch: joined }: Cursor, { epoch }: Position): boolean {
  return joined === '' || epoch === '' || joined === epoch;
}

/** Whether a membership delivers this channel's events to the session live. */
export function isLive(session: Session, channel: Channel): boolean {
  const { parent } = channel;
  if (parent.tenant.everything.members.get(session)?.live === true) return true;
  if (channel.isWide) {
    for (const [place, { live }] of session.memberships) if (live && place.room === channel.room) return true;
    return false;
  }
  for (const place of [channel, parent.wide, ...channel.patterns]) {
    const membership = place.members.get(session);
    if (membership?.live === true && place.reaches(channel, membership.coverage)) return true;
  }
  return false;
}
