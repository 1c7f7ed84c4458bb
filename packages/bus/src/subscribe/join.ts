import { BusError, isChannelPattern, type JoinResult, MAIL_ROOM, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { type Access, forbidden } from '../access.ts';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Cluster } from '../cluster.ts';
import type { Coverage, Membership, Sender, Session, Wanted } from '../connection/session.ts';
import type { Directory } from '../directory.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Events } from '../events.ts';
import type { HttpHooks } from '../hooks/hooks.ts';
import type { Channel } from '../rooms.ts';
import { GrantedChannels } from './coverage.ts';
import type { Interest } from './interest.ts';
import type { Since } from './plan.ts';
import type { Rosters } from './presence.ts';
import { type ReplayParts, Replays, type Settled } from './replays.ts';
import type { RetainedValues } from './retained.ts';

/** What a client asks for when it joins (`join_channel`, PROTOCOL sections 5 to 7). */
export interface JoinRequest {
  readonly room: string;
  /** `*`: the whole room; a pattern like `orders.*`: its channels that match. */
  readonly channel: string;
  /** Refuses a room or pattern unless the grants cover all of it. */
  readonly strict?: boolean | undefined;
  readonly since?: Since | undefined;
  readonly echo?: boolean | undefined;
  /** Watches who is in it; `state` is what others are told of this member, null to take it back. */
  readonly presence?: boolean | { readonly state?: unknown } | undefined;
  /** The last N envelopes before live traffic. */
  readonly history?: number | undefined;
  /** First of all the value that each channel retains, where a rule has it kept. */
  readonly last?: boolean | undefined;
}

/** What a member gets of it, as the rules say. */
interface SettledRequest extends JoinRequest {
  /** Whether the client itself asked for presence. */
  readonly asksPresence: boolean;
}

export interface Joined {
  readonly result: JoinResult;
  /** To be called once the answer is on its way: replays what was asked for and starts live traffic. */
  begin(): void;
}

/** Told of a client that has become a member of a channel, a room (`*`) or a pattern, or is none any more. */
export type MembershipHook = (client: Sender, place: Wanted) => unknown;

export interface MembershipParts extends ReplayParts {
  readonly interest: Interest;
  readonly cluster: Cluster;
  readonly rosters: Rosters;
  readonly directory: Directory;
  readonly events: Events;
  readonly access: Access;
  readonly http: Pick<HttpHooks, 'read'>;
  /** The program's own. */
  readonly told: { readonly joined?: MembershipHook | undefined; readonly left?: MembershipHook | undefined };
  readonly retained: RetainedValues;
}

/** Memberships: who may join, what a joining client is told, and how it gets what it missed. */
export class Memberships {
  private readonly parts: MembershipParts;
  private readonly replays: Replays;

  constructor(parts: MembershipParts) {
    this.parts = parts;
    this.replays = new Replays(parts);
  }

  /** Joins a channel, room or pattern. Throws AUTHORIZATION_ERROR, NOT_FOUND, LIMIT_EXCEEDED, VALIDATION_ERROR. */
  join(session: Session, request: JoinRequest): Awaitable<Joined> {
    const { room, channel: name } = request;
    const watches = isWatching(request);
    const isPattern = isChannelPattern(name);
    if (watches && isPattern) {
      throw new BusError('VALIDATION_ERROR', 'Presence is of a channel or a whole room; join one of those with it.', {
        field: 'presence',
      });
    }
    const coverage = this.coverageOf(session, room, name, request.strict === true);
    if (coverage === undefined) throw forbidden(room, name);
    if (request.history !== undefined) this.parts.access.require(session.principal, 'history', room, name);
    if (watches) this.parts.access.require(session.principal, 'presence', room, name);
    return andThen(this.parts.http.read(session, { room, channel: name }), () => {
      if (session.closed) throw new BusError('NOT_FOUND', 'The connection was closed.');
      return andThen(this.target(session, room, name), (channel) =>
        this.enter(session, channel, { ...this.settled(channel, request), asksPresence: watches }, coverage),
      );
    });
  }

  /** What a member gets of what it asks for: a rule of the channel may force or forbid it. */
  private settled(channel: Channel, request: JoinRequest): JoinRequest {
    if (channel.matches !== null) return request;
    const { echo, presence } = this.parts.rooms.policy(channel);
    if (echo === null && presence === null) return request;
    const { room, channel: name } = channel;
    const refused = [
      ['echo', echo === false && request.echo === true],
      ['presence', presence === false && isWatching(request)],
    ].find(([, isRefused]) => isRefused);
    if (refused !== undefined) {
      const [field] = refused;
      throw new BusError('VALIDATION_ERROR', `A rule forbids "${field}" at ${room}:${name}.`, { field, rule: field });
    }
    // A rule's echo is looked at with every event: it may be set later.
    return presence === true && !isWatching(request) ? { ...request, presence } : request;
  }

  /** Makes the membership, and then makes it live. */
  private enter(
    session: Session,
    channel: Channel,
    request: SettledRequest,
    coverage: Coverage | null,
  ): Awaitable<Joined> {
    const { room } = channel;
    const watches = isWatching(request);
    const attached = this.parts.interest.add(channel.tenant, room);
    let entry: { membership: Membership; isNew: boolean };
    try {
      entry = this.makeMember(session, channel, request, coverage);
    } catch (error) {
      this.parts.interest.remove(channel.tenant, room);
      this.parts.rooms.dropUnused(channel);
      throw error;
    }
    const { membership, isNew } = entry;
    if (!isNew) this.parts.interest.remove(channel.tenant, room);
    if (!watches) this.parts.rosters.unwatch(session, channel);
    const settle = (): Awaitable<Settled> => {
      // While its replay is still running the answer is all that is left to give.
      const isAgain = !isNew && !membership.live && request.since === undefined && request.history === undefined;
      if (!isAgain) return this.replays.settle(session, channel, membership, request);
      return andThen(this.replays.state(channel), (state) => ({ state, begin: () => {} }));
    };
    return this.orUndo(session, channel, attached, () => {
      const members = this.countOf(channel);
      const joined = andThen(settle(), (settled) =>
        andThen(members, (count) => answer(channel, membership, settled, count)),
      );
      const watched = watches ? andThen(joined, (one) => this.watching(session, channel, one)) : joined;
      if (request.last !== true) return watched;
      return andThen(watched, (one) => this.withRetained(session, channel, membership, one));
    });
  }

  /** Which channels the grants let a session have of a place: null all, undefined none. */
  private coverageOf(session: Session, room: string, name: string, isStrict: boolean): Coverage | null | undefined {
    const { access } = this.parts;
    const { principal } = session;
    if (access.may(principal, 'subscribe', room, name)) return null;
    if (isStrict || !(name === WILDCARD || isChannelPattern(name))) return undefined;
    if (!access.mayInPart(principal, 'subscribe', room, name)) return undefined;
    return new GrantedChannels(access, session, room);
  }

  /** The session may do other things now: ends the memberships that it may no longer have, and answers them. */
  reauthorize(session: Session): Channel[] {
    const ended: Channel[] = [];
    for (const [place, membership] of [...session.memberships]) {
      const channel = place as Channel;
      const coverage = this.coverageOf(session, channel.room, channel.channel, membership.isStrict);
      if (coverage === undefined) {
        this.leave(session, channel.room, channel.channel);
        ended.push(channel);
      } else if (coverage !== null || membership.coverage !== null) {
        membership.coverage = coverage;
        this.parts.rooms.refresh(channel);
      }
    }
    return ended;
  }

  /** Makes or renews the membership, and tells of it. */
  private makeMember(
    session: Session,
    channel: Channel,
    { echo, presence, asksPresence, strict }: SettledRequest,
    coverage: Coverage | null,
  ): { membership: Membership; isNew: boolean } {
    const entry = this.parts.rooms.join(session, channel, {
      echo: echo === true,
      coverage,
      isStrict: strict === true,
      asksPresence,
    });
    const { membership, isNew } = entry;
    const { state } = typeof presence === 'object' ? presence : {};
    try {
      if (state !== undefined) this.parts.rosters.setState(session, membership, state);
    } catch (error) {
      if (isNew) this.parts.rooms.leave(session, channel);
      throw error;
    }
    if (isNew) {
      this.parts.cluster.announce(session);
      this.parts.rosters.joined(session, channel, membership);
      this.emit('client_joined', session, channel, this.parts.told.joined);
    } else if (state !== undefined) this.parts.rosters.updated(session, channel, membership);
    return entry;
  }

  /** How many members there are in the whole cluster. */
  private countOf(channel: Channel): Awaitable<number> {
    const count = this.parts.rosters.count(channel) ?? this.parts.directory.recentMemberCount(channel);
    // It is asked for while the streams are; if they fail, nobody looks at this.
    if (isPending(count)) count.catch(() => {});
    return count;
  }

  private watching(session: Session, channel: Channel, { result, begin }: Joined): Awaitable<Joined> {
    const { rosters } = this.parts;
    return andThen(rosters.watch(channel), (presence) => ({
      result: { ...result, presence },
      begin: () => {
        rosters.begin(session, channel, presence.version);
        begin();
      },
    }));
  }

  /** Sends retained values after the answer and before anything else of the place. */
  private withRetained(session: Session, channel: Channel, membership: Membership, { result, begin }: Joined): Joined {
    const { retained, options } = this.parts;
    const failed = (error: unknown): void => options.onFault(error);
    return {
      result,
      begin: () => {
        const sent = attempt(() => retained.send(session, channel, membership), failed);
        if (isPending(sent)) void sent.then(begin);
        else begin();
      },
    };
  }

  /** Changes what the members of a channel or room are told of this one. Throws NOT_JOINED, VALIDATION_ERROR, LIMIT_EXCEEDED. */
  setState(session: Session, room: string, name: string, state: unknown): void {
    const channel = this.parts.rooms.tenants.get(session.principal.tenant)?.find(room, name);
    const membership = channel?.members.get(session);
    if (channel === undefined || membership === undefined) {
      throw new BusError('NOT_JOINED', `Join ${room}:${name} first; a state is a member's.`, { room, channel: name });
    }
    this.parts.rosters.setState(session, membership, state);
    this.parts.rosters.updated(session, channel, membership);
  }

  /** The client is known by another name or type: whoever watches it is told. */
  renamed(session: Session): void {
    this.parts.cluster.announce(session);
    for (const [place, membership] of session.memberships) {
      this.parts.rosters.updated(session, place as Channel, membership);
    }
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

  /** Leaves a channel or room; false when the client was no member. `isFarewell`: it is not coming back at once. */
  leave(session: Session, room: string, name: string, isFarewell = true): boolean {
    const channel = this.parts.rooms.tenants.get(session.principal.tenant)?.find(room, name);
    const membership = channel?.members.get(session);
    if (channel === undefined || membership === undefined) return false;
    this.parts.rooms.leave(session, channel);
    this.replays.abandon(session, channel);
    this.parts.interest.remove(channel.tenant, room);
    this.parts.cluster.announce(session);
    this.parts.rosters.left(session, channel, membership, isFarewell);
    this.emit('client_left', session, channel, this.parts.told.left);
    return true;
  }

  /** Ends all memberships of a connection that is going away; `isFarewell`: on purpose. */
  leaveAll(session: Session, isFarewell: boolean): void {
    this.parts.hub.catchUps.abandon(session);
    for (const { room, channel } of [...session.memberships.keys()]) this.leave(session, room, channel, isFarewell);
  }

  /** What to join: a channel that is listed, one that rests, or a new one where the client may make it. */
  private target(session: Session, room: string, name: string): Awaitable<Channel> {
    if (room === MAIL_ROOM) return this.parts.rooms.mailbox(this.parts.rooms.tenant(session.principal.tenant), name);
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel "pm" needs no joining: private messages reach you anyway.', {
        field: 'channel',
      });
    }
    const { rooms } = this.parts;
    const tenant = rooms.tenant(session.principal.tenant);
    const known = tenant.find(room, name);
    if (known !== undefined) return known;
    if (isChannelPattern(name)) {
      return andThen(this.target(session, room, WILDCARD), ({ parent }) => rooms.pattern(parent, name));
    }
    const create = (): Channel => rooms.createFor(session, room, name);
    const { autoCreate } = rooms.policyAt(tenant.name, room, name);
    if (autoCreate && session.principal.role !== 'guest') return create();
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

  private emit(
    event: 'client_joined' | 'client_left',
    session: Session,
    channel: Channel,
    told: MembershipHook | undefined,
  ): void {
    const { clientType: client_type, screenName: screen_name } = session.profile;
    const { tenant, room, channel: name } = channel;
    this.parts.events.emit(event, tenant, { client_id: session.id, client_type, screen_name, room, channel: name });
    // It is told after the fact, and can neither slow nor fail it.
    if (told !== undefined)
      attempt(() => told(session, { room, channel: name }) as Awaitable<unknown>, this.parts.options.onFault);
  }
}

function isWatching({ presence }: JoinRequest): boolean {
  return presence !== undefined && presence !== false;
}

function answer(
  { room, channel, matches }: Channel,
  { coverage }: Membership,
  { state, recovered, positions, begin }: Settled,
  members: number,
): Joined {
  const scope = matches === null ? 'granted' : 'matching';
  const { sequence, epoch } = state;
  const result: JoinResult = {
    room,
    channel,
    ...(matches === null && coverage === null ? {} : { scope }),
    sequence,
    epoch,
    members,
    ...(recovered === undefined ? {} : { recovered }),
    ...(positions === undefined ? {} : { positions }),
  };
  return { result, begin };
}
