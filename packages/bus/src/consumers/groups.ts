import { BusError, type Position, WILDCARD } from '@arqonbus/protocol';
import type { Access } from '../access.ts';
import { type Clock, systemClock } from '../clock.ts';
import type { Sender, Session } from '../connection/session.ts';
import type { Engine, StreamAddress } from '../engine/engine.ts';
import type { Hops } from '../hops.ts';
import { type Hub, notice } from '../hub.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { Publisher } from '../publish.ts';
import type { Rooms } from '../rooms.ts';
import type { Interest } from '../subscribe/interest.ts';
import { ActiveGroup, type OnDriving } from './active-group.ts';
import { type Answer, type Answered, isLiveToken, markLive } from './answer.ts';
import type { AnswerKind } from './answered.ts';
import { consumerOf, type HostedConsumer, type HostedGroup } from './consumer.ts';
import { DeadLetters, type ListedLetter } from './dead-letters.ts';
import type { DriverInfo } from './driver-info.ts';
import { Drivers } from './drivers.ts';
import {
  type GivenSettings,
  type GroupPlace,
  type GroupRecord,
  groupKey,
  noSuchGroup,
  requireSame,
  settingsOf,
} from './group.ts';
import { requireDeadLetters, requireOwner, requireSource } from './group-access.ts';
import { GroupStore } from './group-store.ts';
import { publishDeadLetter } from './publish-dead-letter.ts';
import { Pulling, type PullRequest } from './pulling.ts';
import type { ReceiptWay } from './receipt-sender.ts';
import { covering } from './sources.ts';
import { defaultStart, newGroup, type Start, startPositions } from './start.ts';
import { TextBudget } from './text-budget.ts';
import { GroupTotals } from './totals.ts';

const EXPIRY_MS = 5_000;

interface GroupsOptions {
  readonly node: string;
  readonly maxGroups: number;
  readonly maxGroupsPerSubject: number;
  readonly maxSubscriptions: number;
  readonly now: () => number;
  readonly clock?: Clock | undefined;
  readonly onFault: (error: unknown) => void;
}

export interface GroupsParts {
  readonly engine: Engine;
  readonly rooms: Rooms;
  readonly hub: Hub;
  readonly interest: Interest;
  readonly access: Access;
  readonly publisher: Publisher;
  readonly hops: Hops;
  readonly calls: NodeCalls;
  readonly receipts: ReceiptWay;
  readonly options: GroupsOptions;
}

/**
 * All groups: consumers that share the events of a channel, a room or a pattern. Each event goes to one of them until
 * it is acknowledged (DELIVERY). Checks permissions; {@link Drivers} handles deliveries.
 */
export class Groups {
  private readonly parts: GroupsParts;
  readonly totals: GroupTotals = new GroupTotals();
  private readonly clock: Clock;
  private readonly store: GroupStore;
  private readonly drivers: Drivers;
  private readonly tenants: Map<string, Map<string, ActiveGroup>> = new Map();
  private readonly byId: Map<string, ActiveGroup> = new Map();
  private readonly pulling: Pulling;
  private stopWatching: () => void = () => {};
  private callOff: () => void = () => {};

  constructor(parts: GroupsParts) {
    const { options } = parts;
    this.parts = parts;
    this.clock = options.clock ?? systemClock(options.now);
    this.store = new GroupStore(parts.engine.store, options);
    this.drivers = new Drivers({
      ...parts,
      clock: this.clock,
      node: options.node,
      onFault: options.onFault,
      texts: new TextBudget(),
      totals: this.totals,
      find: (tenant, key) => this.tenants.get(tenant)?.get(key),
      all: () => this.byId.values(),
      publishDead: async (tenant, group, letter) => {
        if (group.isInternal !== true) await publishDeadLetter(parts, tenant, group, letter);
      },
      sendReceipt: (...told) => parts.receipts.send(...told),
      lostNotice: ({ room, group }, tenant, channel, lost) =>
        notice({ tenant, room, channel }, { event: 'group_lost', room, channel, group, lost }),
    });
    this.pulling = new Pulling(this.drivers);
  }

  /** Groups known to this node. */
  get size(): number {
    return this.byId.size;
  }

  /** The groups that this node drives, and their pending and unacknowledged events. */
  get figures(): { driven: number; pending: number; unacked: number } {
    return this.drivers.figures;
  }

  start(): void {
    this.stopWatching = this.store.watch((tenant, key, record) => this.follow(tenant, key, record));
    this.drivers.start();
    const tick = (): void => {
      this.expire();
      this.callOff = this.clock.after(EXPIRY_MS, tick);
    };
    this.callOff = this.clock.after(EXPIRY_MS, tick);
  }

  /** Loads the groups of earlier runs and of other nodes; called again after a storage outage. */
  async load(): Promise<void> {
    await this.store.load((tenant, record) => void this.adopt(tenant, record, true));
    await this.drivers.load();
  }

  /** Hands the groups that this node drives over to other nodes; its own members stay in them. */
  handOver(): Promise<void> {
    return this.drivers.handOver();
  }

  /** Stops, and hands its groups over to other nodes. */
  async stop(): Promise<void> {
    this.callOff();
    await this.drivers.stop();
    this.stopWatching();
  }

  /** This node may have missed events of a room (`*`: all rooms of the tenant; without a tenant: of all tenants). */
  doubt(tenant: string | null = null, room: string = WILDCARD): void {
    this.drivers.doubt(tenant, room);
  }

  /** A stream continues without all of its events, or was started over. */
  doubtStream(stream: StreamAddress): void {
    this.drivers.index.doubt(stream);
  }

  // Create and delete -------------------------------------------------------------------------------------------------

  /**
   * Creates a group, or returns the existing one if its settings are the same. Throws AUTHORIZATION_ERROR, CONFLICT
   * that names the differing setting or position, LIMIT_EXCEEDED, VALIDATION_ERROR.
   */
  async create(sender: Sender, place: GroupPlace, given: GivenSettings, start: Start): Promise<GroupRecord> {
    this.requireSource(sender, place);
    const known = this.find(place);
    if (known === undefined || known.record.isImplied === true) requireDeadLetters(this.parts.access, sender, given);
    return (await this.make(place, given, start, sender.identity)).record;
  }

  private async make(place: GroupPlace, given: GivenSettings, start: Start, owner: string): Promise<ActiveGroup> {
    const known = this.find(place);
    if (known !== undefined) return this.claim(known, given, start, owner);
    const { options, engine } = this.parts;
    const record = await newGroup(engine.broker, place, given, start, { owner, created_at: options.now() });
    const kept = await this.store.add(place.tenant, record);
    const active = this.adopt(place.tenant, kept, true);
    return kept === record ? active : this.claim(active, given, start, owner);
  }

  /** Gives an existing group that the bus created to an owner; returns any other group if its settings are the same. */
  private async claim(active: ActiveGroup, given: GivenSettings, start: Start, owner: string): Promise<ActiveGroup> {
    const { tenant, key, place } = active;
    if (active.record.isImplied !== true) {
      requireSame(active.record, given);
      return active;
    }
    const record = await this.store.amend(tenant, key, ({ isImplied, ...kept }) =>
      isImplied === true ? { ...kept, settings: settingsOf(given), owner } : kept,
    );
    if (record === null) return this.make(place, given, start, owner);
    const claimed = this.adopt(tenant, record, true);
    if (record.owner === owner && start !== 'all') {
      const positions = await startPositions(this.parts.engine.broker, place, start);
      await this.drivers.ask(claimed, 'seek', { positions });
    }
    requireSame(claimed.record, given);
    return claimed;
  }

  /**
   * Makes a part of this program the only consumer of its own group, whose record it keeps itself. A kept group resumes
   * at its position, on whichever node drives it; every node calls this for it. Events are delivered until `end`.
   */
  host(tenant: string, record: GroupRecord, isKept: boolean, consumer: HostedConsumer): HostedGroup {
    const { node, onFault } = this.parts.options;
    const active = this.adopt(tenant, record, isKept, (isDriving) => consumer.onDriving?.(isDriving));
    const answer = (kind: AnswerKind, token: string, delayMs?: number, reason?: string): Promise<Answered> =>
      this.drivers.answer(active, { kind, tokens: [token], delayMs, reason, by: null });
    const id = `${node} ${record.group}`;
    this.drivers.joined(active, consumerOf({ ...consumer, id, node, prefetch: 1, answer, onFault }));
    return {
      waiting: () => active.driver?.waiting ?? 0,
      deadLetterCount: () => active.driver?.deadLetters.count ?? 0,
      deadLetters: (limit, after) => this.drivers.ask(active, 'deadLetters', { limit, after }),
      retry: (keys) => this.drivers.ask(active, 'retry', { keys }),
      rest: () => active.driver?.rest(),
      end: () => this.drop(active, false),
      forget: async () => {
        await this.drop(active);
        await this.store.forgetState(tenant, active.key, record);
        await new DeadLetters(this.parts.engine.store, tenant, record.group_id).clear();
      },
    };
  }

  /** Pauses or resumes deliveries. For the owner and admins. */
  async pause(sender: Sender, place: GroupPlace, paused: boolean): Promise<void> {
    const { key, tenant } = this.owned(sender, place);
    const record = await this.store.amend(tenant, key, (kept) => ({ ...kept, paused }));
    if (record === null) throw noSuchGroup(place);
    this.adopt(tenant, record, true);
  }

  /** Moves a group. For the owner and admins. Throws CONFLICT for a position beyond the stream's end. */
  async seek(sender: Sender, place: GroupPlace, start: Start): Promise<void> {
    const active = this.owned(sender, place);
    const positions = await startPositions(this.parts.engine.broker, place, start, 'sequence');
    await this.drivers.ask(active, 'seek', { positions });
  }

  /** Deletes a group with all its data. For the owner and admins. */
  async delete(sender: Sender, place: GroupPlace): Promise<void> {
    await this.remove(this.owned(sender, place));
  }

  private async remove(active: ActiveGroup): Promise<void> {
    const { tenant, key, record } = active;
    await this.store.remove(tenant, key);
    await this.drop(active);
    await this.store.forgetState(tenant, key, record);
    await new DeadLetters(this.parts.engine.store, tenant, record.group_id).clear();
  }

  // Members -----------------------------------------------------------------------------------------------------------

  /**
   * Makes a connection a member; a missing group is created with defaults. Events are delivered only after `begin` is
   * called. Throws the errors of {@link create}, and LIMIT_EXCEEDED beyond the connection's subscriptions.
   */
  async join(
    session: Session,
    place: GroupPlace,
    prefetch: number,
  ): Promise<{ position: Position; members: number; begin(): void }> {
    this.requireSource(session, place);
    const key = groupKey(place);
    const isNew = !session.groups.has(key);
    const { maxSubscriptions } = this.parts.options;
    if (isNew && session.memberships.size + session.groups.size >= maxSubscriptions) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A connection holds at most ${maxSubscriptions} subscriptions; leave some.`,
        { limit: maxSubscriptions },
      );
    }
    session.joinedGroup(key);
    try {
      const known = this.find(place)?.record;
      if (known === undefined || known.isImplied === true) await this.create(session, place, {}, defaultStart(place));
      const active = this.existing(place);
      const { positions, members } = await this.drivers.ask(active, 'info', null);
      const position = positions[place.channel] ?? { sequence: 0, epoch: '' };
      const { subject } = session.principal;
      const send = (text: string): void => session.send(this.parts.hops.pass(place.tenant, text));
      const begin = (): void => {
        if (session.closed || active.isGone || !session.groups.has(key)) return;
        this.drivers.joined(active, { id: session.id, node: this.parts.options.node, subject, prefetch, send });
      };
      return { position, members: active.members.has(session.id) ? members : members + 1, begin };
    } catch (error) {
      if (isNew) session.leftGroup(key);
      throw error;
    }
  }

  /** Ends a membership; events that it holds go to other members. False when there was none. */
  leave(session: Session, place: GroupPlace): boolean {
    const key = groupKey(place);
    if (!session.leftGroup(key)) return false;
    const active = this.find(place);
    if (active !== undefined) this.drivers.left(active, session.id);
    return true;
  }

  /** Ends all memberships of a closing connection. */
  leaveAll(session: Session): void {
    const { tenant } = session.principal;
    for (const key of [...session.groups]) {
      session.leftGroup(key);
      const active = this.tenants.get(tenant)?.get(key);
      if (active !== undefined) this.drivers.left(active, session.id);
    }
    this.pulling.left(session);
  }

  /** Ends the memberships that the session's grants no longer allow; returns their places. */
  leaveForbidden(session: Session): GroupPlace[] {
    const { principal } = session;
    const left: GroupPlace[] = [];
    for (const key of [...session.groups]) {
      const place = this.tenants.get(principal.tenant)?.get(key)?.place;
      if (place === undefined || this.parts.access.may(principal, 'group', place.room, place.channel)) continue;
      this.leave(session, place);
      left.push(place);
    }
    return left;
  }

  /** Answers of a member for events that it holds. Throws LEASE_LOST when it holds none of them. */
  async answer(sender: Sender, given: Omit<Answer, 'by' | 'via'>): Promise<Answered> {
    const { tenant, subject } = sender.principal;
    const byGroup = new Map<ActiveGroup, string[]>();
    const live = given.tokens.filter(isLiveToken);
    for (const token of given.tokens) {
      if (isLiveToken(token)) continue;
      const active = this.byId.get(token.slice(0, Math.max(0, token.indexOf('.'))));
      if (active === undefined || active.tenant !== tenant) continue;
      const tokens = byGroup.get(active);
      if (tokens === undefined) byGroup.set(active, [token]);
      else tokens.push(token);
    }
    for (const { place } of byGroup.keys()) this.requireSource(sender, place);
    const answers = [...byGroup].map(([active, tokens]) =>
      this.drivers.answer(active, { ...given, tokens, by: subject, via: sender.session?.id ?? null }),
    );
    const held = new Set((await Promise.all(answers)).flatMap(({ done }) => done).concat(live));
    const done = given.tokens.filter((token) => held.has(token));
    const lost = given.tokens.filter((token) => !held.has(token));
    if (done.length > 0) return { done, lost };
    throw new BusError('LEASE_LOST', 'None of these leases is held any more; the events went to others.', { lost });
  }

  /** Delivers events to a caller that is not a member; the leases belong to its subject. */
  async pull(sender: Sender, place: GroupPlace, request: PullRequest): Promise<{ texts: string[]; pending: number }> {
    this.requireSource(sender, place);
    return this.pulling.pull(sender, this.existing(place), request);
  }

  /** Answers all pulls that wait for events. */
  endPulls(): void {
    this.pulling.endAll();
  }

  // Information -------------------------------------------------------------------------------------------------------

  async info(sender: Sender, place: GroupPlace): Promise<{ record: GroupRecord; info: DriverInfo }> {
    this.requireSource(sender, place);
    const active = this.existing(place);
    return { record: active.record, info: await this.drivers.ask(active, 'info', null) };
  }

  /** The groups that a sender may use, sorted by key, of one room or channel if given. */
  list(sender: Sender, room?: string, channel?: string): ActiveGroup[] {
    const { principal } = sender;
    const all = [...(this.tenants.get(principal.tenant)?.values() ?? [])].filter(
      ({ place, isKept, record }) =>
        isKept &&
        record.isInternal !== true &&
        record.isImplied !== true &&
        (room === undefined || place.room === room) &&
        (channel === undefined || place.channel === channel) &&
        this.parts.access.may(principal, 'group', place.room, place.channel),
    );
    return all.sort((one, other) => (one.key < other.key ? -1 : 1));
  }

  /** The groups that read a channel (`*`: room-wide events), including internal ones. */
  readersOf(tenant: string, room: string, channel: string): GroupRecord[] {
    return [...(this.tenants.get(tenant)?.values() ?? [])]
      .filter(({ place }) => (place.room === WILDCARD || place.room === room) && covering(place.channel)(channel))
      .map(({ record }) => record);
  }

  deadLetters(
    sender: Sender,
    place: GroupPlace,
    limit: number,
    after: string | undefined,
  ): Promise<{ letters: ListedLetter[]; next: string | null }> {
    this.requireSource(sender, place);
    return this.drivers.ask(this.existing(place), 'deadLetters', { limit, after });
  }

  retry(sender: Sender, place: GroupPlace, ids: readonly string[] | undefined): Promise<number> {
    this.requireSource(sender, place);
    return this.drivers.ask(this.existing(place), 'retry', { ids });
  }

  /** Members of a group on all nodes; 0 when there is no such group. */
  async liveMembers(place: GroupPlace): Promise<number> {
    const active = this.find(place);
    if (active === undefined) return 0;
    return active.driver?.members.size ?? this.drivers.ask(active, 'members', null);
  }

  /**
   * Delivers an envelope that is not stored to one member of a group, on any node; false when there is none. It has no
   * lease: the member gets only its `deadline` (RFC 3339).
   */
  async handLive(place: GroupPlace, envelope: string, deadline: string): Promise<boolean> {
    const active = this.find(place);
    if (active === undefined) return false;
    return this.drivers.ask(active, 'handLive', { text: markLive(envelope, active.record, deadline) });
  }

  // Internals ---------------------------------------------------------------------------------------------------------

  private find(place: GroupPlace): ActiveGroup | undefined {
    return this.tenants.get(place.tenant)?.get(groupKey(place));
  }

  private existing(place: GroupPlace): ActiveGroup {
    const active = this.find(place);
    if (active === undefined) throw noSuchGroup(place);
    return active;
  }

  private owned(sender: Sender, place: GroupPlace): ActiveGroup {
    this.requireSource(sender, place);
    const active = this.existing(place);
    requireOwner(sender, active.record);
    return active;
  }

  private requireSource(sender: Sender, place: GroupPlace): void {
    requireSource(this.parts.access, sender, place);
  }

  private follow(tenant: string, key: string, record: GroupRecord | null): void {
    const active = this.tenants.get(tenant)?.get(key);
    if (record !== null) this.adopt(tenant, record, true);
    else if (active !== undefined) this.drop(active).catch(this.parts.options.onFault);
  }

  /** Registers a group with its current record. */
  private adopt(tenant: string, record: GroupRecord, isKept: boolean, onDriving?: OnDriving): ActiveGroup {
    // Events of other nodes reach only tenants known to this node.
    this.parts.rooms.tenant(tenant);
    const groups = this.tenants.get(tenant) ?? new Map<string, ActiveGroup>();
    this.tenants.set(tenant, groups);
    const known = groups.get(groupKey(record));
    if (known?.record.group_id === record.group_id) {
      known.record = record;
      known.driver?.update(record);
      this.drivers.take(known);
      return known;
    }
    // A deletion and a new group of the same name, reported as one change.
    if (known !== undefined) this.drop(known).catch(this.parts.options.onFault);
    const active = new ActiveGroup(tenant, record, isKept, onDriving);
    groups.set(active.key, active);
    this.byId.set(record.group_id, active);
    this.drivers.take(active);
    return active;
  }

  /** @param isOver whether the group itself ends, and not only its part on this node */
  private async drop(active: ActiveGroup, isOver = true): Promise<void> {
    const { tenant, key, place, record } = active;
    if (!this.byId.delete(record.group_id)) return;
    if (this.tenants.get(tenant)?.get(key) === active) this.tenants.get(tenant)?.delete(key);
    const wasDriven = active.driver !== null;
    const { room, channel, group } = place;
    const gone = { event: 'membership_revoked', room, channel, group, reason: 'deleted' };
    for (const id of active.members.keys()) {
      const session = this.parts.rooms.tenant(tenant).sessions.get(id);
      if (session?.leftGroup(key) === true) session.send(notice(place, gone));
    }
    await this.drivers.drop(active, isOver);
    if (wasDriven && isOver) await this.store.forgetState(tenant, key, record);
  }

  /** Deletes groups unused for longer than their `expires_seconds`. */
  private expire(): void {
    for (const active of [...this.byId.values()]) {
      const { expires_seconds } = active.record.settings;
      if (expires_seconds === null || active.driver?.isUnused(expires_seconds * 1000) !== true) continue;
      this.remove(active).catch(this.parts.options.onFault);
    }
  }
}
