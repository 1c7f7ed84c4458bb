import { BusError, isChannelPattern, type JoinResult, MAIL_ROOM, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { type Access, forbidden } from '../access.ts';
import { andThen, attempt, isPending } from '../awaitable.ts';
import type { Cluster } from '../cluster.ts';
import type { Coverage, Membership, Sender, Session, Wanted } from '../connection/session.ts';
import type { Directory } from '../directory.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Events } from '../events.ts';
import type { HttpHooks } from '../hooks/hooks.ts';
import { AUTOMATIC, type Channel } from '../rooms.ts';
import { GrantedChannels } from './coverage.ts';
import type { Interest } from './interest.ts';
import type { Since } from './plan.ts';
import type { Rosters } from './presence.ts';
import { type ReplayParts, Replays, type Settled } from './replays.ts';
import type { RetainedValues } from './retained.ts';

/** A client's join request (`join_channel`, PROTOCOL sections 5 to 7). */
export interface JoinRequest {
  readonly room: string;
  /** `*`: the whole room; a pattern like `orders.*`: the matching channels. */
  readonly channel: string;
  /** Rejects a room or pattern unless the grants cover all of it. */
  readonly strict?: boolean | undefined;
  readonly since?: Since | undefined;
  readonly echo?: boolean | undefined;
  /** Watches its presence; `state` is this member's presence state shown to others, null clears it. */
  readonly presence?: boolean | { readonly state?: unknown } | undefined;
  /** Number of latest envelopes to replay before live traffic. */
  readonly history?: number | undefined;
  /** First sends the retained value of each channel that a rule has retain it. */
  readonly last?: boolean | undefined;
}

/** A join request after applying the rules. */
interface SettledRequest extends JoinRequest {
  /** Whether the client itself requested presence. */
  readonly asksPresence: boolean;
}

export interface Joined {
  readonly result: JoinResult;
  /** To be called once the response is being sent: starts the requested replay and live traffic. */
  begin(): void;
}

/** Called when a client has become a member of a channel, a room (`*`) or a pattern, or no longer is one. */
export type MembershipHook = (client: Sender, place: Wanted) => unknown;

export interface MembershipParts extends ReplayParts {
  readonly interest: Interest;
  readonly cluster: Cluster;
  readonly rosters: Rosters;
  readonly directory: Directory;
  readonly events: Events;
  readonly access: Access;
  readonly http: Pick<HttpHooks, 'read'>;
  /** The embedding program's hooks. */
  readonly told: { readonly joined?: MembershipHook | undefined; readonly left?: MembershipHook | undefined };
  readonly retained: RetainedValues;
}

/** Memberships: who may join, what a join returns, and how a member gets what it missed. */
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

  /** Applies the channel's rules, which may force or forbid what is requested. */
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
    // A rule's echo is checked for every event, since it may be set later.
    return presence === true && !isWatching(request) ? { ...request, presence } : request;
  }

  /** Creates the membership, then makes it live. */
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
      // While its replay is still running only the response is needed.
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

  /** Which channels of a place the grants cover: null for all, undefined for none. */
  private coverageOf(session: Session, room: string, name: string, isStrict: boolean): Coverage | null | undefined {
    const { access } = this.parts;
    const { principal } = session;
    if (access.may(principal, 'subscribe', room, name)) return null;
    if (isStrict || !(name === WILDCARD || isChannelPattern(name))) return undefined;
    if (!access.mayInPart(principal, 'subscribe', room, name)) return undefined;
    return new GrantedChannels(access, session, room);
  }

  /** The session's grants changed: ends the memberships it may no longer have, and returns them. */
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

  /** Creates or renews the membership, and announces it. */
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

  /** The number of members in the whole cluster. */
  private countOf(channel: Channel): Awaitable<number> {
    const count = this.parts.rosters.count(channel) ?? this.parts.directory.recentMemberCount(channel);
    // Requested concurrently with the streams; if they fail, nobody awaits this.
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

  /** Sends retained values after the response and before anything else from the place. */
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

  /** Changes a member's presence state. Throws NOT_JOINED, VALIDATION_ERROR, LIMIT_EXCEEDED. */
  setState(session: Session, room: string, name: string, state: unknown): void {
    const channel = this.parts.rooms.tenants.get(session.principal.tenant)?.find(room, name);
    const membership = channel?.members.get(session);
    if (channel === undefined || membership === undefined) {
      throw new BusError('NOT_JOINED', `Join ${room}:${name} first; a state is a member's.`, { room, channel: name });
    }
    this.parts.rosters.setState(session, membership, state);
    this.parts.rosters.updated(session, channel, membership);
  }

  /** The client's name or type changed: its watchers are notified. */
  renamed(session: Session): void {
    this.parts.cluster.announce(session);
    for (const [place, membership] of session.memberships) {
      this.parts.rosters.updated(session, place as Channel, membership);
    }
  }

  /** Runs what makes a membership live; if the engine fails, the membership is removed. */
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

  /** Leaves a channel or room; false if the client was not a member. `isFarewell`: it is not expected back soon. */
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

  /** Ends all memberships of a closing connection; `isFarewell`: closed on purpose. */
  leaveAll(session: Session, isFarewell: boolean): void {
    this.parts.hub.catchUps.abandon(session);
    for (const { room, channel } of [...session.memberships.keys()]) this.leave(session, room, channel, isFarewell);
  }

  /** The channel to join: a listed one, an idle one, or a new one if the client may create it. */
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
      return isResting ? rooms.create(tenant, room, name, { traits: AUTOMATIC }) : create();
    });
  }

  /** Whether the engine has a channel's stream, or any stream of a room. */
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
    // Called after the fact; it can neither delay nor fail the change.
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
