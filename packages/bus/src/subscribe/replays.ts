import { type Position, WILDCARD } from '@arqonbus/protocol';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Membership, Session } from '../connection/session.ts';
import type { Awaitable, Broker, StreamAddress, StreamState } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Channel, Rooms } from '../rooms.ts';
import type { Pieces } from '../streams/pieces.ts';
import { CatchUp, isLive, type Missed } from './catch-up.ts';
import { type Known, plan, positionsOf, type Since } from './plan.ts';
import { ReplayedFrames } from './replayed-frames.ts';

/**
 * Maximum number of streams of a room whose positions a join returns, which is also the maximum for `since`. A resume
 * checks the same number of streams without members; beyond that it is not recovered.
 */
const MAX_POSITIONS = 1_000;
/** Channels of a room that are checked against a pattern. */
const MAX_LOOKED_AT = 20_000;

interface Wanted {
  readonly since?: Since | undefined;
  readonly history?: number | undefined;
}

/** State of a place's streams for a new member. */
export interface Settled {
  /** Of the joined channel, or of the room-wide stream. */
  readonly state: StreamState;
  readonly recovered?: boolean | undefined;
  readonly positions?: Record<string, Position>;
  /** Starts the requested replay and live traffic. */
  begin(): void;
}

export interface ReplayParts {
  readonly rooms: Rooms;
  readonly broker: Broker;
  readonly hub: Hub;
  readonly pieces: Pieces;
  readonly options: {
    readonly now: () => number;
    /** Called when history could not serve a replay. */
    readonly onFault: (error: unknown) => void;
  };
}

/**
 * Replays what a member missed and switches it to live traffic. Several memberships of a session may cover a stream,
 * and all memberships in a room cover the room-wide one: each stream is replayed by one catch-up at a time, and nothing
 * is delivered twice.
 */
export class Replays {
  private readonly parts: ReplayParts;
  private readonly frames = new ReplayedFrames();

  constructor(parts: ReplayParts) {
    this.parts = parts;
  }

  /** No event may be missed from now on: goes live at once if all is known synchronously, else through a catch-up. */
  settle(session: Session, channel: Channel, membership: Membership, wanted: Wanted): Awaitable<Settled> {
    if (channel.room === WILDCARD) {
      const showStreams = this.parts.pieces.entering(session, channel);
      this.parts.rooms.goLive(channel, membership);
      return { state: { sequence: 0, epoch: '', oldest: 1 }, begin: showStreams };
    }
    const { hub, rooms, broker, pieces, options } = this.parts;
    const done = (): void => {
      const showStreams = session.closed ? null : pieces.entering(session, channel);
      hub.catchUps.end(catchUp);
      if (showStreams === null) return;
      if (channel.members.get(session) === membership) rooms.goLive(channel, membership);
      else rooms.refresh(channel);
      showStreams();
    };
    const catchUp = new CatchUp(session, channel, { broker, rooms, now: options.now, frames: this.frames }, done);
    // A member that rejoins with a position gets a new replay; its live events are held back during it.
    if (wanted.since !== undefined || wanted.history !== undefined) {
      const asked = wanted.since === undefined ? {} : positionsOf(channel, wanted.since);
      const isAsked = (stream: Channel): boolean =>
        Object.hasOwn(asked, stream.channel) || (wanted.history !== undefined && isOf(stream, channel));
      this.abandon(session, channel, isAsked);
      rooms.pause(channel, membership);
    }
    if (!membership.live) hub.catchUps.start(catchUp);
    return andThen(this.known(channel, membership, wanted), (known) =>
      this.prepare(channel, membership, wanted, catchUp, known),
    );
  }

  /** The joined stream's state, for a member that needs no replay. */
  state(channel: Channel): Awaitable<StreamState> {
    return this.parts.broker.state(channel.matches === null ? channel : channel.parent.wide);
  }

  /**
   * Ends the catch-up of a place that is left or rejoined. Streams that other memberships still wait for continue from
   * their position, except those requested again.
   */
  abandon(session: Session, channel: Channel, isAskedAnew: (stream: Channel) => boolean = () => false): void {
    const { catchUps } = this.parts.hub;
    for (const catchUp of catchUps.abandon(session, channel)) {
      if (session.closed) continue;
      const rest = catchUp.reached().filter((one) => !isAskedAnew(one.channel) && isReached(session, one.channel));
      if (rest.length > 0) this.goOn(session, channel.parent.wide, rest);
    }
    const isInRoom = [...session.memberships.keys()].some(({ room }) => room === channel.room);
    if (!isInRoom) session.begun?.delete(channel.room);
  }

  private goOn(session: Session, wide: Channel, rest: readonly ({ channel: Channel } & Position)[]): void {
    const { hub, rooms, broker, pieces, options } = this.parts;
    const done = (): void => {
      const showStreams = pieces.entering(session, wide);
      hub.catchUps.end(catchUp);
      rooms.refresh(wide);
      showStreams();
    };
    const catchUp = new CatchUp(session, wide, { broker, rooms, now: options.now, frames: this.frames }, done, true);
    for (const one of rest) catchUp.startAfter(one.channel, one);
    hub.catchUps.start(catchUp);
    rooms.refresh(wide);
    this.run(
      catchUp,
      rest.map(({ channel, sequence }) => ({ channel, after: sequence })),
    );
  }

  private run(catchUp: CatchUp, missed: readonly Missed[]): void {
    catchUp.run(missed).catch((error: unknown) => {
      catchUp.fail();
      this.parts.options.onFault(error);
    });
  }

  private prepare(channel: Channel, membership: Membership, wanted: Wanted, catchUp: CatchUp, known: Known): Settled {
    const { states } = known;
    const { missed, recovered } = plan(channel, wanted, known);
    for (const [stream, { sequence, epoch }] of states) {
      // From now on events this node misses are detected, even if none has been delivered yet.
      if (stream.lastText === null && epoch !== '') stream.base ??= { sequence, epoch };
    }
    const own = membership.live ? [] : this.share(catchUp, wanted, states, missed);
    const positions = Object.fromEntries(
      [...states].map(([stream, { sequence, epoch }]) => [stream.channel, { sequence, epoch }]),
    );
    return {
      state: states.get(channel.matches === null ? channel : channel.parent.wide) as StreamState,
      recovered,
      positions,
      begin: () => {
        if (!membership.live) this.run(catchUp, own);
      },
    };
  }

  /** Decides which streams the catch-up delivers; returns the part of `missed` that it has to replay. */
  private share(
    catchUp: CatchUp,
    wanted: Wanted,
    states: ReadonlyMap<Channel, StreamState>,
    missed: readonly Missed[],
  ): Missed[] {
    const { session, channel } = catchUp;
    const after = new Map(missed.map((one) => [one.channel, one.after]));
    const asked = wanted.since === undefined ? {} : positionsOf(channel, wanted.since);
    let isTakenOver = false;
    for (const [stream, state] of states) {
      const other = this.parts.hub.catchUps.carrier(session, stream, catchUp);
      const isOnItsWay = other !== undefined || isLive(session, stream);
      const position = Object.hasOwn(asked, stream.channel) ? asked[stream.channel] : undefined;
      const isAsked = position !== undefined || (wanted.history !== undefined && isOf(stream, channel));
      if (isOnItsWay && !(isAsked && !this.isHad(session, stream, other, position))) {
        catchUp.leaveOut(stream);
        after.delete(stream);
        continue;
      }
      other?.leaveOut(stream);
      isTakenOver ||= isOnItsWay;
      const from = after.get(stream) ?? state.sequence;
      catchUp.startAfter(stream, state, from);
      if (stream.isWide) {
        session.begun ??= new Map();
        session.begun.set(stream.room, { sequence: from, epoch: state.epoch });
      }
    }
    if (isTakenOver) this.parts.rooms.refresh(channel);
    return missed.filter((one) => after.has(one.channel));
  }

  /** Whether the session already gets, or got, all of a stream after a position. */
  private isHad(
    session: Session,
    stream: Channel,
    other: CatchUp | undefined,
    position: Position | undefined,
  ): boolean {
    if (position === undefined) return false;
    if (other !== undefined) return other.covers(stream, position);
    const begun = stream.isWide ? session.begun?.get(stream.room) : undefined;
    return begun !== undefined && begun.epoch === position.epoch && position.sequence >= begun.sequence;
  }

  /** State of the joined stream and of the room-wide one; for a room or pattern, of all its streams. */
  private known(channel: Channel, { coverage }: Membership, wanted: Wanted): Awaitable<Known> {
    const { parent } = channel;
    if (channel.isConcrete) return this.knownOf([channel, parent.wide]);
    const streams = [parent.wide, ...first(this.channelsOf(channel, coverage), MAX_POSITIONS)];
    const { since = {}, history } = wanted;
    if (history === undefined && Object.keys(since).length === 0) return this.knownOf(streams);
    // A snapshot: a channel that becomes listed while the engine is queried is still included.
    const listed = new Set(streams.map(({ channel: name }) => name));
    // A channel may be idle, or unused on this node since it started; its events count too.
    const { broker, rooms } = this.parts;
    // While the storage is unavailable, degraded mode continues with what this node knows; strict mode fails below.
    const list = attempt<readonly StreamAddress[] | null>(
      () => broker.streams(channel.tenant, channel.room),
      () => null,
    );
    return andThen(list, (kept) => {
      const resting = (kept ?? [])
        .map(({ channel: name }) => name)
        .filter((name) => !listed.has(name))
        .filter((name) => channel.reaches(rooms.visit(parent, name), coverage));
      // If there are too many, those the client has a position for come first.
      const isAsked = (name: string): boolean => Object.hasOwn(since, name);
      const sorted = [...resting.filter(isAsked), ...resting.filter((name) => !isAsked(name))];
      for (const name of sorted.slice(0, MAX_POSITIONS)) streams.push(parent.find(name) ?? rooms.visit(parent, name));
      return this.knownOf(streams, kept !== null && sorted.length <= MAX_POSITIONS);
    });
  }

  /** The channels of a room that one of its places covers. */
  private *channelsOf(place: Channel, coverage: Membership['coverage']): Generator<Channel> {
    for (const channel of first(place.parent.channels.values(), MAX_LOOKED_AT)) {
      if (place.reaches(channel, coverage)) yield channel;
    }
  }

  /** @param isListed whether these are all streams that may have events */
  private knownOf(streams: readonly Channel[], isListed: boolean = true): Awaitable<Known> {
    const states = new Map<Channel, StreamState>();
    const pending: Promise<void>[] = [];
    for (const stream of streams) {
      const noted = andThen(this.parts.broker.state(stream), (state) => void states.set(stream, state));
      if (isPending(noted)) pending.push(noted);
    }
    const known = { states, isListed };
    return pending.length === 0 ? known : Promise.all(pending).then(() => known);
  }
}

/** Whether a stream belongs to a place: for a channel only its own, for a room or pattern all that it covers. */
function isOf(stream: Channel, place: Channel): boolean {
  return stream === place || !place.isConcrete;
}

/** Whether any membership of the session covers a stream. */
function isReached(session: Session, stream: Channel): boolean {
  for (const [place, { coverage }] of session.memberships) {
    if (place.room === stream.room && (place as Channel).reaches(stream, coverage)) return true;
  }
  return false;
}

function* first<T>(values: Iterable<T>, most: number): Generator<T> {
  let count = 0;
  for (const value of values) {
    if (count >= most) return;
    count += 1;
    yield value;
  }
}
