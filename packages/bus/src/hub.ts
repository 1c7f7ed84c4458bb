import { type Envelope, encode, isExpired, type JsonObject, MAIL_ROOM } from '@arqonbus/protocol';
import { Frame } from './connection/frame.ts';
import type { Session } from './connection/session.ts';
import { hearsItself } from './echo.ts';
import type { StreamAddress, StreamEvent } from './engine/engine.ts';
import { AUTOMATIC, Channel, type Rooms } from './rooms.ts';
import type { KnownStreams, Parting } from './streams/known.ts';
import { END_ID } from './streams/mark.ts';
import { CatchUps } from './subscribe/catch-ups.ts';

/** Called for every event delivered on this node, after its members; must not throw or block. */
export type Tap = (event: StreamEvent, channel: Channel) => void;

/** Holds back a live event; returns false when it may be delivered at once. */
export type Hold = (channel: Channel, event: StreamEvent) => boolean;

const NOBODY: readonly Session[] = [];
const NONE: ReadonlySet<Session> = new Set();

/** Delivers events to the sessions subscribed to their address. Engines pass local and remote events here. */
export class Hub {
  private readonly rooms: Rooms;
  private readonly now: () => number;
  private readonly streams: KnownStreams;
  private readonly taps: Set<Tap> = new Set();
  /** The same for mailboxes; only these taps see mail. */
  private readonly mailTaps: Set<Tap> = new Set();
  /** Members that are still receiving a replay. */
  readonly catchUps: CatchUps = new CatchUps();
  /** Tenants whose live events are held back until a repair has delivered the missed ones. */
  private readonly held: Map<string, Hold> = new Map();
  /** Frames delivered to connections since the start. */
  delivered = 0;

  /** @param streams which open token streams this node's members have been shown */
  constructor(rooms: Rooms, now: () => number, streams: KnownStreams) {
    this.rooms = rooms;
    this.now = now;
    this.streams = streams;
  }

  /** Delivers an event to its audience: one copy per client, none to a sender without echo. */
  deliver(event: StreamEvent): number {
    const channel = this.locate(event.stream);
    if (channel === undefined) return 0;
    if (this.held.size > 0 && this.held.get(channel.tenant)?.(channel, event) === true) return 0;
    // A repair has already read it from history, before the engine delivered it.
    const { lastSequence, lastText } = channel;
    const isOld = lastText !== null && event.sequence > 0 && event.sequence <= lastSequence;
    if (isOld && epochOf(event.text) === epochOf(lastText)) return 0;
    return this.replay(channel, event);
  }

  /**
   * Delivers an event to its audience even while the tenant's live events are held back.
   *
   * @param isLate whether its time to live may have expired: it was not accepted here just now
   */
  replay(channel: Channel, event: StreamEvent, isLate: boolean = event.stream !== channel): number {
    channel.lastTraffic = this.now();
    if (event.sequence > 0) {
      channel.lastSequence = event.sequence;
      channel.lastText = event.text;
    }
    if (isLate && isExpired(event.text, channel.lastTraffic)) {
      // A running replay must know that the event was seen.
      if (this.catchUps.size > 0) this.catchUps.feed(channel, event);
      return 0;
    }
    const parting = event.id.startsWith(END_ID) ? this.streams.part(channel.tenant, event.text) : null;
    const audience = this.audienceOf(channel);
    let count = 0;
    if (audience.length > 0) {
      const silent = this.silentSender(channel, event.from, audience);
      count = silent === undefined ? audience.length : audience.length - 1;
      if (parting !== null) this.endStream(audience, silent, event.text, parting);
      else if (count > 0) {
        const frame = new Frame(event.text);
        for (const session of audience) if (session !== silent) session.outbox.push(frame);
      }
    }
    this.delivered += count;
    if (this.catchUps.size > 0) count += this.catchUps.feed(channel, event);
    const taps = channel.room === MAIL_ROOM ? this.mailTaps : this.taps;
    if (taps.size > 0) for (const tap of taps) tap(event, channel);
    return count;
  }

  /** The current audience of a channel, including the sender. */
  audienceOf(channel: Channel): readonly Session[] {
    return channel.audience ?? this.gather(channel);
  }

  /** The current audience of an address. */
  audienceAt(address: StreamAddress): readonly Session[] {
    const channel = this.locate(address);
    return channel === undefined ? NOBODY : this.audienceOf(channel);
  }

  /**
   * Delivers a live-only frame to the audience of an address. Taps and members in a replay do not get it.
   *
   * @param except sessions that received it in another way
   */
  show(address: StreamAddress, from: string, text: string, except: ReadonlySet<Session> = NONE): void {
    const channel = this.locate(address);
    if (channel === undefined) return;
    channel.lastTraffic = this.now();
    const audience = this.audienceOf(channel);
    if (audience.length === 0) return;
    const silent = this.silentSender(channel, from, audience);
    const frame = new Frame(text);
    for (const session of audience) if (session !== silent && !except.has(session)) session.outbox.push(frame);
  }

  /** Delivers it only to those of `sessions` that are in the audience. */
  showTo(address: StreamAddress, from: string, text: string, sessions: readonly Session[]): void {
    const channel = this.locate(address);
    if (channel === undefined || sessions.length === 0) return;
    const audience = this.audienceOf(channel);
    const silent = this.silentSender(channel, from, audience);
    const frame = new Frame(text);
    for (const session of sessions) if (session !== silent && audience.includes(session)) session.outbox.push(frame);
  }

  /** Holds back a tenant's live events: they go to `take` until {@link release}. */
  hold(tenant: string, take: Hold): void {
    this.held.set(tenant, take);
  }

  release(tenant: string): void {
    this.held.delete(tenant);
  }

  /** Adds a tap, optionally for mail too; returns a function that removes it. */
  tap(tap: Tap, { mail = false }: { readonly mail?: boolean } = {}): () => void {
    this.taps.add(tap);
    if (mail) this.mailTaps.add(tap);
    return () => {
      this.taps.delete(tap);
      this.mailTaps.delete(tap);
    };
  }

  /** Sends a `system` notice to a channel's presence watchers; returns how many bytes and connections it took. */
  notifyWatchers(channel: Channel, payload: JsonObject): { readonly bytes: number; readonly sent: number } {
    if (channel.watchers === null) return { bytes: 0, sent: 0 };
    const frame = new Frame(notice(channel, payload));
    for (const session of channel.watchers) session.outbox.push(frame);
    return { bytes: frame.length, sent: channel.watchers.size };
  }

  /** Sends a `system` notice about a channel to subscribers of its room, and of patterns that match it. */
  notifySubscribers(channel: Channel, payload: JsonObject): void {
    const { parent, patterns } = channel;
    const all = new Set<Session>();
    for (const place of [parent.wide, ...patterns]) {
      for (const [session, { coverage }] of place.members) {
        if (coverage === null || coverage.includes(channel.channel)) all.add(session);
      }
    }
    if (all.size === 0) return;
    const frame = new Frame(notice(parent.wide, payload));
    for (const session of all) session.outbox.push(frame);
  }

  /** Sends the end of a token stream, in the form that fits the pieces each session was shown. */
  private endStream(
    audience: readonly Session[],
    silent: Session | undefined,
    text: string,
    { rest, whole }: Parting,
  ): void {
    const [frame, all] = [new Frame(rest), whole.size === 0 ? null : new Frame(text)];
    for (const session of audience) {
      if (session !== silent) session.outbox.push(all !== null && whole.has(session) ? all : frame);
    }
  }

  /** The sender's session if it is in the audience and must not receive its own event. */
  private silentSender(channel: Channel, from: string, audience: readonly Session[]): Session | undefined {
    const sender = channel.parent.tenant.sessions.get(from);
    // Most publishers are not members, so this comes first.
    if (sender === undefined || !audience.includes(sender)) return undefined;
    return hearsItself(this.rooms, sender, channel) ? undefined : sender;
  }

  /** Computes the audience of a channel, without duplicates; cached until a membership changes. */
  private gather(channel: Channel): readonly Session[] {
    const all = new Set<Session>();
    const { parent } = channel;
    this.addLive(all, channel, channel);
    this.addLive(all, parent.wide, channel);
    // Subscribers of everything do not get the mail of others.
    if (parent !== parent.tenant.mail) this.addLive(all, parent.tenant.everything, channel);
    if (channel.isWide) for (const place of parent.places()) this.addLive(all, place, channel);
    else for (const pattern of channel.patterns) this.addLive(all, pattern, channel);
    const audience = all.size === 0 ? NOBODY : [...all];
    channel.audience = audience;
    return audience;
  }

  private addLive(all: Set<Session>, place: Channel, channel: Channel): void {
    const mayBeHeld = this.catchUps.size > 0;
    for (const [session, { live, coverage }] of place.members) {
      if (!live || (coverage !== null && !channel.isWide && !coverage.includes(channel.channel))) continue;
      // A session in a replay of this channel gets the event through the replay only.
      if (mayBeHeld && this.catchUps.carrier(session, channel) !== undefined) continue;
      all.add(session);
    }
  }

  private locate(stream: StreamAddress): Channel | undefined {
    // Single-node engines hand back the channel that was published to.
    if (stream instanceof Channel) return stream;
    const tenant = this.rooms.tenants.get(stream.tenant);
    if (tenant === undefined) return undefined;
    const known = tenant.find(stream.room, stream.channel);
    if (known !== undefined) return known;
    if (stream.room === MAIL_ROOM)
      return this.mailTaps.size > 0 ? this.rooms.visit(tenant.mail, stream.channel) : undefined;
    // Another node created the channel; this node has members of its room, or of everything.
    if (tenant.rooms.get(stream.room) === undefined && tenant.everything.members.size === 0 && this.taps.size === 0) {
      return undefined;
    }
    try {
      return this.rooms.create(tenant, stream.room, stream.channel, { traits: AUTOMATIC });
    } catch {
      // The tenant's channel limit is reached here; subscribers of the room still get the event.
      const room = tenant.rooms.get(stream.room) ?? tenant.everything.parent;
      return new Channel(room, stream.channel, room.wide);
    }
  }
}

/** The epoch of an event's sequence, read from its text. */
function epochOf(text: string): unknown {
  return (JSON.parse(text) as Envelope).metadata?.epoch;
}

/** A `system` envelope about a channel. */
export function notice(channel: StreamAddress, payload: JsonObject): string {
  return encode({ type: 'system', room: channel.room, channel: channel.channel, payload });
}
