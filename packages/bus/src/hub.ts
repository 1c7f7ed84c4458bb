import { type Envelope, encode, type JsonObject, WILDCARD } from '@arqonbus/protocol';
import { frameText } from './connection/frame.ts';
import type { Session } from './connection/session.ts';
import type { StreamAddress, StreamEvent } from './engine/engine.ts';
import { Channel, type Rooms } from './rooms.ts';
import type { CatchUp } from './subscribe/catch-up.ts';

/** Sees every event delivered on this node, after its members; must neither throw nor wait. */
export type Tap = (event: StreamEvent, channel: Channel) => void;

/** From an address to the sessions that get it. The engines' one way in, for local and remote events alike. */
export class Hub {
  private readonly rooms: Rooms;
  private readonly now: () => number;
  private readonly taps: Set<Tap> = new Set();
  /** Members that are still being replayed what they missed, by the channel they joined. */
  private readonly catchUps: Map<Channel, Set<CatchUp>> = new Map();
  /** Streams whose live events wait until what was missed before them has been delivered. */
  private readonly held: Map<Channel, (event: StreamEvent) => void> = new Map();
  /** Frames handed to connections since the start. */
  delivered = 0;

  constructor(rooms: Rooms, now: () => number) {
    this.rooms = rooms;
    this.now = now;
  }

  /** Hands an event to its audience: one copy a client, none to a sender that did not ask for its echo. */
  deliver(event: StreamEvent): number {
    const channel = this.locate(event.stream);
    if (channel === undefined) return 0;
    if (this.held.size > 0) {
      const take = this.held.get(channel);
      if (take !== undefined) {
        take(event);
        return 0;
      }
    }
    // A repair has read it from history, and the engine comes to it only now.
    const { last } = channel;
    if (last !== null && event.sequence > 0 && event.sequence <= last.sequence && epochOf(event) === epochOf(last))
      return 0;
    return this.replay(channel, event);
  }

  /** Hands an event to its audience whether the stream's live events are held back or not. */
  replay(channel: Channel, event: StreamEvent): number {
    channel.lastTraffic = this.now();
    if (event.sequence > 0) channel.last = event;
    const audience = channel.audience ?? gather(channel);
    let count = 0;
    if (audience.length > 0) {
      const silent = this.silentSender(channel, event.from);
      count = audience.length;
      if (silent !== undefined && audience.includes(silent)) count -= 1;
      if (count > 0) {
        const frame = frameText(event.text);
        for (const session of audience) if (session !== silent) session.outbox.push(frame);
      }
    }
    this.delivered += count;
    if (this.catchUps.size > 0) count += this.feedCatchUps(channel, event);
    if (this.taps.size > 0) for (const tap of this.taps) tap(event, channel);
    return count;
  }

  /** Holds a stream's live events back: they go to `take` until {@link release}. */
  hold(channel: Channel, take: (event: StreamEvent) => void): void {
    this.held.set(channel, take);
  }

  release(channel: Channel): void {
    this.held.delete(channel);
  }

  /** Adds a tap; returns the way to remove it. */
  tap(tap: Tap): () => void {
    this.taps.add(tap);
    return () => this.taps.delete(tap);
  }

  /** Tells those members of a channel that asked for presence of someone's coming or going. */
  notifyPresence(channel: Channel, payload: JsonObject, except: Session): void {
    if (channel.watchers === null) return;
    const frame = frameText(notice(channel, payload));
    for (const session of channel.watchers) if (session !== except) session.outbox.push(frame);
  }

  /** The same of someone on another node, as that node has written it. */
  relayPresence(channel: Channel, text: string): void {
    if (channel.watchers === null) return;
    const frame = frameText(text);
    for (const session of channel.watchers) session.outbox.push(frame);
  }

  /** Sends a `system` notice to every member of a channel. */
  notify(channel: Channel, payload: JsonObject): void {
    if (channel.members.size === 0) return;
    const frame = frameText(notice(channel, payload));
    for (const session of channel.members.keys()) session.outbox.push(frame);
  }

  startCatchUp(catchUp: CatchUp): void {
    const { channel } = catchUp;
    const running = this.catchUps.get(channel);
    if (running === undefined) this.catchUps.set(channel, new Set([catchUp]));
    else running.add(catchUp);
  }

  endCatchUp(catchUp: CatchUp): void {
    const running = this.catchUps.get(catchUp.channel);
    if (running === undefined || !running.delete(catchUp)) return;
    if (running.size === 0) this.catchUps.delete(catchUp.channel);
  }

  /** Ends what a leaving member still had to be told; with no channel all of the session's. */
  abandonCatchUps(session: Session, channel?: Channel): void {
    for (const [at, running] of this.catchUps) {
      if (channel !== undefined && at !== channel) continue;
      for (const catchUp of running) if (catchUp.session === session) catchUp.stop();
    }
  }

  private feedCatchUps(channel: Channel, event: StreamEvent): number {
    let fed = 0;
    const { wide } = channel.parent;
    const { everything } = channel.parent.tenant;
    for (const at of channel.isWide ? this.catchUps.keys() : [channel, wide, everything]) {
      if (channel.isWide && at.parent !== channel.parent && at !== everything) continue;
      const running = this.catchUps.get(at);
      if (running === undefined) continue;
      for (const catchUp of running) if (catchUp.offer(channel, event)) fed += 1;
    }
    return fed;
  }

  /** The sender's session when it must not hear itself. */
  private silentSender(channel: Channel, from: string): Session | undefined {
    const sender = channel.parent.tenant.sessions.get(from);
    if (sender === undefined) return undefined;
    if (channel.members.get(sender)?.echo === true) return undefined;
    if (channel.parent.wide.members.get(sender)?.echo === true) return undefined;
    if (channel.parent.tenant.everything.members.get(sender)?.echo === true) return undefined;
    if (channel.isWide) {
      for (const [other, membership] of sender.memberships) {
        if (other.room === channel.room && membership.echo) return undefined;
      }
    }
    return sender;
  }

  private locate(stream: StreamAddress): Channel | undefined {
    // Engines of one node hand back the channel that was published to.
    if (stream instanceof Channel) return stream;
    const tenant = this.rooms.tenants.get(stream.tenant);
    if (tenant === undefined) return undefined;
    const known = tenant.find(stream.room, stream.channel);
    if (known !== undefined) return known;
    // Another node made the channel; here are members of its room, or of everything.
    if (tenant.rooms.get(stream.room) === undefined && tenant.everything.members.size === 0 && this.taps.size === 0) {
      return undefined;
    }
    try {
      return this.rooms.create(tenant, stream.room, stream.channel, { autoCreated: true });
    } catch {
      // The tenant has as many channels here as it may; who subscribes to the room gets the event all the same.
      const room = tenant.rooms.get(stream.room) ?? tenant.everything.parent;
      return new Channel(room, stream.channel, room.wide.traits);
    }
  }
}

/** In whose epoch an event has its sequence, as its text tells. */
function epochOf({ text }: StreamEvent): unknown {
  return (JSON.parse(text) as Envelope).metadata?.epoch;
}

/** A `system` envelope about a channel. */
export function notice(channel: StreamAddress, payload: JsonObject): string {
  return encode({ type: 'system', room: channel.room, channel: channel.channel, payload });
}

/** Everyone an event of `channel` goes to, each once; kept until a membership changes. */
function gather(channel: Channel): readonly Session[] {
  const all = new Set<Session>();
  const { parent } = channel;
  addLive(all, channel);
  addLive(all, parent.wide);
  addLive(all, parent.tenant.everything);
  if (channel.channel === WILDCARD) for (const other of parent.channels.values()) addLive(all, other);
  if (channel.held !== null) for (const session of channel.held.keys()) all.delete(session);
  const audience = [...all];
  channel.audience = audience;
  return audience;
}

function addLive(all: Set<Session>, channel: Channel): void {
  for (const [session, membership] of channel.members) if (membership.live) all.add(session);
}
