import { BusError, type JoinResult, type Position, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import type { Access } from '../access.ts';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Cluster } from '../cluster.ts';
import type { Membership, Session } from '../connection/session.ts';
import type { Awaitable, Broker, StreamState } from '../engine/engine.ts';
import type { Events } from '../events.ts';
import type { Hub } from '../hub.ts';
import type { Channel, Rooms } from '../rooms.ts';
import { CatchUp, type Missed } from './catch-up.ts';
import type { Interest } from './interest.ts';

/** Streams of a room whose positions a join answers: as many as `since` takes back. */
const MAX_POSITIONS = 1_000;

/** What a client asks for when it joins (`join_channel`, PROTOCOL sections 5 to 7). */
export interface JoinRequest {
  readonly room: string;
  /** `*`: the whole room. */
  readonly channel: string;
  readonly since?: Position | Readonly<Record<string, Position>> | undefined;
  readonly echo?: boolean | undefined;
  readonly presence?: boolean | undefined;
  /** The last N envelopes before live traffic. */
  readonly history?: number | undefined;
}

export interface Joined {
  readonly result: JoinResult;
  /** To be called once the answer is on its way: replays what was asked for and starts live traffic. */
  begin(): void;
}

export interface MembershipParts {
  readonly rooms: Rooms;
  readonly broker: Broker;
  readonly hub: Hub;
  readonly interest: Interest;
  readonly cluster: Cluster;
  readonly events: Events;
  readonly access: Access;
  readonly options: {
    readonly autoCreateChannels: boolean;
    /** Told of a replay that history could not serve. */
    readonly onFault: (error: unknown) => void;
  };
}

/** Memberships: who may join, what a joining client is told, and how it gets what it missed. */
export class Memberships {
  private readonly parts: MembershipParts;

  constructor(parts: MembershipParts) {
    this.parts = parts;
  }

  /** Joins a channel or room. Throws AUTHORIZATION_ERROR, NOT_FOUND, LIMIT_EXCEEDED, VALIDATION_ERROR. */
  join(session: Session, request: JoinRequest): Awaitable<Joined> {
    const { room, channel: name } = request;
    this.parts.access.require(session.principal, 'subscribe', room, name);
    if (request.history !== undefined) this.parts.access.require(session.principal, 'history', room, name);
    if (request.presence === true) this.parts.access.require(session.principal, 'presence', room, name);
    return andThen(this.target(session, room, name), (channel) => this.enter(session, channel, request));
  }

  /** Makes the membership, and then makes it live. */
  private enter(session: Session, channel: Channel, request: JoinRequest): Awaitable<Joined> {
    const { room } = channel;
    const attached = this.parts.interest.add(channel.tenant, room);
    let entry: { membership: Membership; isNew: boolean };
    try {
      entry = this.parts.rooms.join(session, channel, {
        echo: request.echo === true,
        presence: request.presence === true,
      });
    } catch (error) {
      this.parts.interest.remove(channel.tenant, room);
      throw error;
    }
    if (!entry.isNew) this.parts.interest.remove(channel.tenant, room);
    else this.tell('client_joined', session, channel);
    if (!entry.isNew && !entry.membership.live && request.since === undefined && request.history === undefined) {
      // Its replay is still running; the answer is all that is left to give.
      return this.answerAgain(channel);
    }
    return this.orUndo(session, channel, attached, () => this.settle(session, channel, entry.membership, request));
  }

  /** Runs what makes a membership live; when the engine fails, the membership is taken back. */
  private orUndo(
    session: Session,
    channel: Channel,
    attached: Awaitable<void>,
    settle: () => Awaitable<Joined>,
  ): Awaitable<Joined> {
    const undo = (error: unknown): never => {
      this.leave(session, channel.room, channel.channel);
      throw error;
    };
    return attempt(() => andThen(attached, settle), undo);
  }

  private answerAgain(channel: Channel): Awaitable<Joined> {
    const answer = (state: StreamState): Joined => ({ result: this.answer(channel, state), begin: () => {} });
    return andThen(this.parts.broker.state(channel), answer);
  }

  /** Leaves a channel or room; false when the client was no member. */
  leave(session: Session, room: string, name: string): boolean {
    const channel = this.parts.rooms.tenants.get(session.principal.tenant)?.find(room, name);
    if (channel === undefined || !this.parts.rooms.leave(session, channel)) return false;
    this.parts.hub.abandonCatchUps(session, channel);
    this.parts.interest.remove(channel.tenant, room);
    this.tell('client_left', session, channel);
    return true;
  }

  /** Ends all memberships of a connection that is going away. */
  leaveAll(session: Session): void {
    this.parts.hub.abandonCatchUps(session);
    for (const channel of [...session.memberships.keys()]) this.leave(session, channel.room, channel.channel);
  }

  /** The channel to join: one that is listed, one that rests, or a new one where the client may make it. */
  private target(session: Session, room: string, name: string): Awaitable<Channel> {
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel "pm" needs no joining: private messages reach you anyway.', {
        field: 'channel',
      });
    }
    const tenant = this.parts.rooms.tenant(session.principal.tenant);
    const known = tenant.find(room, name);
    if (known !== undefined) return known;
    const { rooms, options } = this.parts;
    const create = (): Channel => rooms.createFor(session, room, name, options.autoCreateChannels);
    if (options.autoCreateChannels && session.principal.role !== 'guest') return create();
    return andThen(this.rests(tenant.name, room, name), (isResting) => {
      if (session.closed) throw new BusError('NOT_FOUND', 'The connection was closed.');
      const listed = tenant.find(room, name);
      if (listed !== undefined) return listed;
      return isResting ? rooms.create(tenant, room, name, { autoCreated: true }) : create();
    });
  }

  /** Whether the engine knows a channel's stream, or any of a room's. */
  private rests(tenant: string, room: string, channel: string): Awaitable<boolean> {
    const { broker } = this.parts;
    if (channel === WILDCARD) return andThen(broker.streams(tenant, room), (streams) => streams.length > 0);
    return andThen(broker.find({ tenant, room, channel }), (state) => state !== null);
  }

  /** From here on no event may be missed: live at once when all is known at once, else through a catch-up. */
  private settle(session: Session, channel: Channel, membership: Membership, request: JoinRequest): Awaitable<Joined> {
    if (channel.room === WILDCARD) {
      this.parts.rooms.goLive(channel, membership);
      return { result: this.answer(channel, { sequence: 0, epoch: '', oldest: 1 }), begin: () => {} };
    }
    const catchUp = new CatchUp(session, channel, this.parts.broker, () => {
      this.parts.hub.endCatchUp(catchUp);
      if (!session.closed && channel.members.get(session) === membership) this.parts.rooms.goLive(channel, membership);
    });
    // A member that joins again with a position is replayed again; meanwhile its live events are held back too.
    if (request.since !== undefined || request.history !== undefined) {
      this.parts.hub.abandonCatchUps(session, channel);
      this.parts.rooms.pause(channel, membership);
    }
    if (!membership.live) {
      this.parts.hub.startCatchUp(catchUp);
      for (const stream of new Set([channel, channel.parent.wide]))
        catchUp.claim(stream, isAsked(stream, channel, request));
    }
    return andThen(this.states(channel, request), (states) =>
      this.prepare(channel, membership, request, catchUp, states),
    );
  }

  private prepare(
    channel: Channel,
    membership: Membership,
    request: JoinRequest,
    catchUp: CatchUp,
    states: ReadonlyMap<Channel, StreamState>,
  ): Joined {
    const { missed: all, recovered } = plan(channel, request, states);
    // What another replay of the session hands on is not told twice.
    const missed = all.filter(({ channel: stream }) => catchUp.tells(stream));
    for (const [stream, state] of states) {
      if (catchUp.tells(stream)) catchUp.startAfter(stream, state);
    }
    const result = this.answer(channel, states.get(channel) as StreamState, recovered);
    result.positions = Object.fromEntries(
      [...states].map(([stream, { sequence, epoch }]) => [stream.channel, { sequence, epoch }]),
    );
    return {
      result,
      begin: () => {
        if (membership.live) return;
        catchUp.run(missed).catch((error: unknown) => {
          catchUp.fail();
          this.parts.options.onFault(error);
        });
      },
    };
  }

  private answer(channel: Channel, state: StreamState, recovered?: boolean): JoinResult {
    return {
      room: channel.room,
      channel: channel.channel,
      sequence: state.sequence,
      epoch: state.epoch,
      members: channel.members.size,
      ...(recovered === undefined ? {} : { recovered }),
    };
  }

  /** Where the joined stream stands, and the room-wide one that comes with it; for a room, its streams. */
  private states(channel: Channel, request: JoinRequest): Awaitable<Map<Channel, StreamState>> {
    if (!channel.isWide) return this.statesOf([channel, channel.parent.wide]);
    const { parent } = channel;
    const wanted = [channel, ...first(parent.channels.values(), MAX_POSITIONS)];
    const { since = {}, history } = request;
    if (history === undefined && Object.keys(since).length === 0) return this.statesOf(wanted);
    // A channel may rest, or nobody of this node may have touched it since it started; its events count all the same.
    const { broker, rooms } = this.parts;
    return andThen(broker.streams(channel.tenant, channel.room), (streams) => {
      const resting = streams.map(({ channel: name }) => name).filter((name) => parent.find(name) === undefined);
      // What the client has a position of comes before the rest, when there are too many.
      const isAsked = (name: string): boolean => Object.hasOwn(since, name);
      const sorted = [...resting.filter(isAsked), ...resting.filter((name) => !isAsked(name))];
      for (const name of sorted.slice(0, MAX_POSITIONS)) wanted.push(rooms.visit(parent, name));
      return this.statesOf(wanted);
    });
  }

  private statesOf(wanted: readonly Channel[]): Awaitable<Map<Channel, StreamState>> {
    const states = new Map<Channel, StreamState>();
    const pending: Promise<void>[] = [];
    for (const stream of wanted) {
      const noted = andThen(this.parts.broker.state(stream), (state) => void states.set(stream, state));
      if (isPending(noted)) pending.push(noted);
    }
    return pending.length === 0 ? states : Promise.all(pending).then(() => states);
  }

  private tell(event: 'client_joined' | 'client_left', session: Session, channel: Channel): void {
    this.parts.cluster.announce(session);
    const { room, channel: name } = channel;
    const client = {
      client_id: session.id,
      client_type: session.profile.clientType,
      screen_name: session.profile.screenName,
    };
    const payload = { event, room, channel: name, client, members: channel.members.size };
    this.parts.hub.notifyPresence(channel, payload, session);
    this.parts.cluster.tellPresence(channel, payload);
    this.parts.events.emit(event, channel.tenant, { ...client, room, channel: name });
  }
}

function* first<T>(values: Iterable<T>, most: number): Generator<T> {
  let count = 0;
  for (const value of values) {
    if (count >= most) return;
    count += 1;
    yield value;
  }
}

/** Whether the client tells where it is in a stream, or asks for the last of it. */
function isAsked(stream: Channel, joined: Channel, { since, history }: JoinRequest): boolean {
  if (stream === joined && history !== undefined) return true;
  return since !== undefined && Object.hasOwn(positionsOf(joined, since), stream.channel);
}

/** What to replay, and whether that is all that was missed. */
function plan(
  channel: Channel,
  request: JoinRequest,
  states: ReadonlyMap<Channel, StreamState>,
): { missed: Missed[]; recovered: boolean | undefined } {
  const { since, history } = request;
  const missed: Missed[] = [];
  if (since === undefined) {
    for (const [stream, state] of states) {
      // Of a channel its own stream, of a room every one.
      if (history === undefined || !(stream === channel || channel.isWide)) continue;
      missed.push({ channel: stream, after: Math.max(state.oldest - 1, state.sequence - history) });
    }
    return { missed, recovered: undefined };
  }
  const positions = positionsOf(channel, since);
  // A map that tells of the room-wide stream is a whole one: a channel it lacks is new to the client.
  const isWhole = channel.isWide && Object.hasOwn(positions, WILDCARD);
  let recovered = true;
  for (const [stream, state] of states) {
    const position = Object.hasOwn(positions, stream.channel) ? positions[stream.channel] : undefined;
    if (position === undefined) {
      if (isWhole && state.sequence > 0) missed.push({ channel: stream, after: state.oldest - 1 });
      continue;
    }
    // Without an epoch nothing is known, here or there: it is told while the storage is away.
    const isSameStream = position.epoch !== '' && position.epoch === state.epoch;
    const kept = isSameStream && position.sequence <= state.sequence;
    if (kept && position.sequence + 1 >= state.oldest) {
      missed.push({ channel: stream, after: position.sequence });
      continue;
    }
    recovered = false;
    // Its epoch is gone: of the new one it has had nothing.
    const isGone = position.epoch !== '' && state.epoch !== '' && !isSameStream;
    if (isGone) missed.push({ channel: stream, after: state.oldest - 1 });
  }
  const known = new Set([...states.keys()].map((stream) => stream.channel));
  if (Object.keys(positions).some((name) => !known.has(name))) recovered = false;
  return { missed, recovered };
}

function positionsOf(
  channel: Channel,
  since: Position | Readonly<Record<string, Position>>,
): Readonly<Record<string, Position>> {
  if (typeof since.sequence === 'number') return { [channel.channel]: since as Position };
  const map = since as Readonly<Record<string, Position>>;
  const stranger = channel.isWide
    ? undefined
    : Object.keys(map).find((name) => name !== channel.channel && name !== WILDCARD);
  if (stranger === undefined) return map;
  throw new BusError('VALIDATION_ERROR', '"since" of a channel is its position, or a map of it and "*".', {
    field: 'since',
    expected: '{sequence, epoch}',
    value: stranger.slice(0, 140),
  });
}
