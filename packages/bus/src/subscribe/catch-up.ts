import { encode, markReplayed, type Position } from '@arqonbus/protocol';
import { isPending } from '../awaitable.ts';
import type { Session } from '../connection/session.ts';
import type { Broker, StoredEvent, StreamEvent } from '../engine/engine.ts';
import type { Channel } from '../rooms.ts';

/** Most envelopes pulled from history at a time. */
const MOST = 64;
/** Envelopes pulled at first, before their size is known. */
const FIRST = 8;
/** Bytes of replay that may be unsent: beyond it the connection has to drain. A small backlog limit bounds it further. */
const MAX_UNSENT = 262_144;
/** Live events held back while the replay runs; beyond it they are dropped here and pulled from history instead. */
const MAX_HELD = 512;

/** One stream to replay: everything after `after`. */
export interface Missed {
  readonly channel: Channel;
  readonly after: number;
}

/**
 * Replays what a member missed and then hands it over to live traffic, without gap, duplicate or reordering (PROTOCOL
 * section 6, guarantee 4). Live events that arrive meanwhile are held back; the replay is done when it reaches the
 * first of them. It pulls the next batch only once the connection has drained, so it makes nobody a slow consumer.
 *
 * History may be ahead of live traffic, when the two come by different ways: then the member goes live only when live
 * traffic has come to where the replay ended, and what was replayed already is dropped as it comes by.
 */
export class CatchUp {
  readonly session: Session;
  /** What the session joined: a channel, or the room-wide one for a room subscription. */
  readonly channel: Channel;
  private readonly broker: Broker;
  private readonly onDone: (catchUp: CatchUp) => void;
  private readonly unsent: number;
  /** By channel: one that rested when the member joined may have been made anew since. */
  private readonly cursors: Map<string, Cursor> = new Map();
  /** Once the replay is over: the channels in which live traffic is behind it. */
  private ahead: Set<string> | null = null;
  /** The streams whose events reach the session by this replay alone. */
  private readonly holding: Set<Channel> = new Set();
  private held: { channel: Channel; event: StreamEvent }[] = [];
  private overflowed = false;
  private stopped = false;

  /** From here on live events are held back, if the hub is told of it. */
  constructor(session: Session, channel: Channel, broker: Broker, onDone: (catchUp: CatchUp) => void) {
    this.session = session;
    this.channel = channel;
    this.broker = broker;
    this.onDone = onDone;
    this.unsent = Math.min(MAX_UNSENT, session.outbox.limit / 4);
  }

  /**
   * Holds a stream's live events back for this replay alone, unless another one of the session does: whatever
   * memberships lead to a stream, its events come once and in order. `asked`: the client told where it is in it;
   * otherwise a membership that hands it these events already goes on doing so.
   */
  claim(channel: Channel, asked: boolean): void {
    if (asked || !isLive(this.session, channel)) this.hold(channel);
  }

  /** Whether what was missed of a stream is this replay's to tell, and no other one's of the session. */
  tells(stream: Channel): boolean {
    return this.holding.has(stream) || (this.channel.isWide && stream.held?.has(this.session) !== true);
  }

  /** Live events of `channel` up to this position are not for this member: it joined after them. */
  startAfter(channel: Channel, { sequence, epoch }: Position): void {
    this.cursors.set(channel.channel, { channel, sequence, epoch });
  }

  /** Replays `missed` in its order, then what was held back; ends with `onDone`. Rejects when history cannot be read. */
  async run(missed: readonly Missed[]): Promise<void> {
    for (const { channel, after } of missed) this.cursorOf(channel, after).sequence = after;
    let streams = missed.map(({ channel }) => this.cursorOf(channel));
    do {
      this.overflowed = false;
      for (const cursor of streams) {
        for (let more = true, pull = FIRST; more && !this.stopped; ) {
          const pulled = this.broker.history(cursor.channel, { fromSequence: cursor.sequence + 1, limit: pull });
          // An answer at hand is used in this very turn: a small replay is over before anything else happens.
          const batch = isPending(pulled) ? await pulled : pulled;
          more = batch.length === pull;
          for (const stored of batch) {
            if (this.stopped) return;
            this.forward(cursor, stored);
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

  /** History cannot be read any more: says so of every stream, and goes on with what is live. */
  fail(): void {
    if (this.stopped) return;
    for (const cursor of this.cursors.values()) this.tellGap(cursor);
    this.finish();
  }

  /** Takes a live event; true when it will reach the session this way. */
  offer(channel: Channel, event: StreamEvent): boolean {
    if (this.stopped) return false;
    if (!this.holding.has(channel) && (isLive(this.session, channel) || !this.hold(channel))) return false;
    if (this.ahead !== null) return this.level(this.ahead, channel, event);
    this.cursorOf(channel, event.sequence - 1);
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
    for (const channel of this.holding) channel.release(this.session, this);
    this.onDone(this);
  }

  private hold(channel: Channel): boolean {
    const holds = channel.hold(this.session, this);
    if (holds) this.holding.add(channel);
    return holds;
  }

  private cursorOf(channel: Channel, sequence: number = 0): Cursor {
    let cursor = this.cursors.get(channel.channel);
    if (cursor === undefined) {
      cursor = { channel, sequence, epoch: '' };
      this.cursors.set(channel.channel, cursor);
    }
    return cursor;
  }

  private forward(cursor: Cursor, { sequence, text }: StoredEvent): void {
    if (sequence > cursor.sequence + 1) this.tellGap(cursor);
    this.session.send(markReplayed(text));
    cursor.sequence = sequence;
  }

  /** Retention overtook the replay: the loss is told, never silent. */
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
      // What this node was not handed yet may still come, from a repair, to everybody who is live.
      const last = (channel.parent.channels.get(name) ?? channel).last;
      if (isAhead || (last !== null && last.sequence < sequence)) ahead.add(name);
    }
    this.ahead = ahead;
    if (ahead.size === 0) this.stop();
  }

  /** Passes a live event on unless it was replayed, and ends when it is the one that live traffic was behind by. */
  private level(ahead: Set<string>, channel: Channel, event: StreamEvent): boolean {
    const cursor = this.cursorOf(channel);
    const { sequence } = cursor;
    const reached = this.broker.reached?.(channel);
    // A stream that lost its end has another epoch, in which nothing was replayed.
    if (reached !== undefined && !isOfJoin(cursor, reached)) cursor.sequence = 0;
    const passed = this.pass(channel, event);
    if (event.sequence >= sequence || cursor.sequence !== sequence) ahead.delete(channel.channel);
    if (ahead.size === 0) this.stop();
    return passed;
  }

  /** Sends a live event, if it is new to the member. */
  private pass(channel: Channel, event: StreamEvent): boolean {
    // Sequence 0 is degraded traffic, which no replay can hold.
    if (event.sequence !== 0) {
      const cursor = this.cursorOf(channel);
      if (event.sequence <= cursor.sequence) return false;
      cursor.sequence = event.sequence;
    }
    if (event.from === this.session.id && this.channel.members.get(this.session)?.echo !== true) return false;
    this.session.send(event.text);
    return true;
  }
}

/** How far the member has come in one stream. */
interface Cursor {
  readonly channel: Channel;
  /** The last sequence that was sent, or that the client has otherwise. */
  sequence: number;
  /** The stream's epoch when the member joined. */
  readonly epoch: string;
}

/** An epoch that is not known is no other one: nothing has come by yet. */
function isOfJoin({ epoch: joined }: Cursor, { epoch }: Position): boolean {
  return joined === '' || epoch === '' || joined === epoch;
}

/** Whether a membership already hands the session this stream's events. */
function isLive(session: Session, channel: Channel): boolean {
  const { parent } = channel;
  if (parent.wide.members.get(session)?.live === true) return true;
  if (parent.tenant.everything.members.get(session)?.live === true) return true;
  if (!channel.isWide) return channel.members.get(session)?.live === true;
  // Members of any channel of the room get what goes to the whole of it.
  for (const [{ room }, { live }] of session.memberships) if (live && room === channel.room) return true;
  return false;
}
