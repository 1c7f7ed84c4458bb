import {
  BusError,
  CLOSE,
  encode,
  encodeError,
  type Inbound,
  newId,
  newSecretId,
  type Refusal,
} from '@arqonbus/protocol';
import { Access } from './access.ts';
import { AccessList } from './access-list.ts';
import { Activity } from './activity.ts';
import { attempt } from './awaitable.ts';
import { Catalog } from './catalog.ts';
import { Cluster } from './cluster.ts';
import { TokenExpiry } from './connection/expiry.ts';
import { Flusher, Outbox, type Wire } from './connection/outbox.ts';
import { clientIdOf } from './connection/post-id.ts';
import { type Arrival, Session } from './connection/session.ts';
import { Groups } from './consumers/groups.ts';
import { FaultCounters } from './counters.ts';
import { Direct, subjectIdentity } from './direct.ts';
import { Directory } from './directory.ts';
import type { Engine, EngineEvents, NodeMessage } from './engine/engine.ts';
import { Ephemeral } from './ephemeral.ts';
import { Events } from './events.ts';
import { MessageHistory } from './history/messages.ts';
import { Waits } from './history/waits.ts';
import { type HttpHookOptions, HttpHooks } from './hooks/hooks.ts';
import { Hops } from './hops.ts';
import { Hub } from './hub.ts';
import { IdleSweep } from './idle.ts';
import type { Inspector } from './inspection.ts';
import { ClientLines } from './lines.ts';
import { Mailboxes } from './mail/mailboxes.ts';
import { Receipts } from './mail/receipts.ts';
import { Requests } from './mail/requests.ts';
import { MemoryGuard } from './memory.ts';
import { NodeCalls } from './node-calls.ts';
import { Notices } from './notices.ts';
import type { Adjustable, BusOptions } from './options.ts';
import { hostTest } from './outbound/destination.ts';
import type { Principal } from './principal.ts';
import { Publisher } from './publish.ts';
import type { PublishHook } from './publish-hooks.ts';
import { Rates } from './rate.ts';
import { RetentionChanges } from './retention.ts';
import { Rooms } from './rooms.ts';
import { ChannelRules } from './rules/rules.ts';
import { Standings } from './standings.ts';
import { KnownStreams } from './streams/known.ts';
import { Pieces } from './streams/pieces.ts';
import { TokenStreams } from './streams/streams.ts';
import { StreamTexts } from './streams/texts.ts';
import { Submissions } from './submission.ts';
import { Interest } from './subscribe/interest.ts';
import { type MembershipHook, Memberships } from './subscribe/join.ts';
import { Rosters } from './subscribe/presence.ts';
import { Repairs } from './subscribe/repair.ts';
import { RetainedValues } from './subscribe/retained.ts';
import { RuledPresence } from './subscribe/ruled-presence.ts';

/** The client closed normally (RFC 6455 section 7.4.1). */
export const NORMAL_CLOSURE = 1_000;
/** How long a closing connection may take to read the data queued before its close frame. */
const CLOSE_PATIENCE_MS = 5_000;

/** The hooks of the embedding program. */
export interface CoreHooks {
  readonly publish: readonly PublishHook[];
  readonly joined?: MembershipHook | undefined;
  readonly left?: MembershipHook | undefined;
  readonly http?: HttpHookOptions | undefined;
}

/** The components of a bus that commands, operators and transports use, wired together. */
export class Core {
  readonly options: BusOptions;
  readonly engine: Engine;
  readonly events: Events;
  readonly faults: FaultCounters;
  readonly access: Access;
  readonly accessList: AccessList;
  readonly rates: Rates;
  readonly memory: MemoryGuard;
  readonly rules: ChannelRules;
  readonly rooms: Rooms;
  readonly hub: Hub;
  readonly interest: Interest;
  readonly inspector: Inspector;
  readonly ephemeral: Ephemeral;
  readonly hops: Hops;
  /** Backends that are called before an action takes effect. */
  readonly http: HttpHooks;
  readonly publisher: Publisher;
  readonly mail: Mailboxes;
  readonly direct: Direct;
  readonly activity: Activity;
  readonly submissions: Submissions;
  readonly cluster: Cluster;
  readonly rosters: Rosters;
  readonly retention: RetentionChanges;
  readonly retained: RetainedValues;
  readonly memberships: Memberships;
  readonly standings: Standings;
  readonly notices: Notices;
  readonly repairs: Repairs;
  readonly calls: NodeCalls;
  readonly lines: ClientLines;
  readonly receipts: Receipts;
  readonly groups: Groups;
  /** Texts that are read while they are being written. */
  readonly streams: TokenStreams;
  readonly pieces: Pieces;
  readonly requests: Requests;
  readonly directory: Directory;
  readonly waits: Waits;
  readonly messages: MessageHistory;
  readonly catalog: Catalog;
  readonly idle: IdleSweep;
  readonly expiry: TokenExpiry;
  readonly startedAt: number;
  /** Called when the last connection of an identity has closed: what it owns and is not durable is removed. */
  readonly ownerLeft: Set<(tenant: string, identity: string) => void> = new Set();
  /** Called when a client has connected. */
  readonly sessionOpened: Set<(session: Session) => void> = new Set();
  /** Called when a connection has closed. */
  readonly sessionLeft: Set<(session: Session) => void> = new Set();
  private readonly flusher = new Flusher();
  /** Whether new clients are refused. */
  isDraining = false;

  constructor(engine: Engine, inspector: Inspector, hooks: CoreHooks, options: BusOptions) {
    const { now, node, onFault } = options;
    this.options = options;
    this.engine = engine;
    this.inspector = inspector;
    this.startedAt = now();
    this.events = new Events(node, onFault);
    this.faults = new FaultCounters(this.events.budget);
    this.access = new Access(options);
    this.accessList = new AccessList(engine.store, now);
    this.accessList.added.add((tenant) => this.closeBarred(tenant));
    this.rates = new Rates(options);
    this.memory = new MemoryGuard(options.maxMemoryBytes, (isFull, used_bytes) => {
      const facts = { used_bytes, limit_bytes: this.memory.limit };
      if (isFull) this.events.emit('memory_full', null, facts, 'error');
      else this.events.emit('memory_freed', null, facts);
    });
    const allowed = hostTest(hooks.http?.allowHosts ?? []);
    this.rules = new ChannelRules(engine.store, options.rules, options, onFault, allowed);
    this.http = new HttpHooks({ ...options, limits: options, events: this.events, rules: this.rules }, hooks.http);
    this.rooms = new Rooms({ ...options, rules: this.rules, bootstrap: options.bootstrapRooms });
    const known = new KnownStreams(() => performance.now(), engine.presence === null);
    this.hub = new Hub(this.rooms, now, known);
    this.interest = new Interest(engine.broker, (tenant, room) => this.rooms.forgetPlaces(tenant, room));
    this.cluster = new Cluster(engine.presence, options, newSecretId(''));
    this.ephemeral = new Ephemeral({ deliver: (event) => this.hub.deliver(event), presence: engine.presence });
    const { publish } = hooks;
    this.hops = new Hops(options.maxHops);
    // On a single node every message with a cause is already counted here.
    if (engine.presence !== null) {
      this.hub.tap(({ stream, text }) => this.hops.learn(stream.tenant, text));
    }
    this.publisher = new Publisher(
      this.rooms,
      engine.broker,
      this.access,
      inspector,
      publish,
      this.http,
      this.ephemeral,
      this.hops,
      {
        now,
        onMismatch: (sender, { id: message_id }, address, mismatch) =>
          this.events.emit(
            'schema_mismatch',
            sender.principal.tenant,
            { client_id: sender.id, message_id, ...address, ...mismatch },
            'warning',
          ),
      },
    );
    this.mail = new Mailboxes(engine, (tenant, channel) => this.rules.mailbox(tenant, channel), now);
    this.direct = new Direct(this.rooms, engine, this.access, inspector, publish, this.hops, this.mail, now, node);
    this.activity = new Activity(this.publisher, this.events, options);
    this.submissions = new Submissions(this.publisher, this.activity, this.events, inspector);
    this.rosters = new Rosters(this.rooms, this.hub, this.cluster, engine, options);
    const ruled = new RuledPresence(this.rooms, this.rosters, onFault);
    this.rules.changed.add((tenant) => ruled.follow(tenant));
    this.directory = new Directory(this.rooms, engine, this.access, { ...options, startedAt: this.startedAt });
    this.retention = new RetentionChanges(this.rooms, engine.broker, onFault);
    this.retained = new RetainedValues(this.rooms, engine.broker, now);
    this.calls = new NodeCalls(engine.presence, options);
    this.lines = new ClientLines(this.rooms, engine, this.calls, node);
    const texts = new StreamTexts(known, this.calls, engine.store);
    this.pieces = new Pieces({ ...this, known, texts, presence: engine.presence, onFault });
    this.memberships = new Memberships({ ...this, broker: engine.broker, options, told: hooks });
    this.standings = new Standings((session) => this.memberships.renamed(session));
    this.notices = new Notices(this.rooms, this.hub, this.events);
    this.repairs = new Repairs(this.rooms, this.hub, engine.broker, this.notices, onFault);
    this.waits = new Waits(this.hub, this.interest, options);
    this.messages = new MessageHistory({ ...this, broker: engine.broker, now });
    this.receipts = new Receipts(this.direct, this.mail);
    this.groups = new Groups({ ...this, engine, options });
    this.requests = new Requests(this);
    this.streams = new TokenStreams({ ...this, engine, known, texts, options });
    this.catalog = new Catalog(this.rooms, engine, this.notices);
    this.idle = new IdleSweep(this.rooms, engine.broker, this.notices, now);
    this.expiry = new TokenExpiry(now, (session, code, reason) => this.closeSession(session, code, reason));
  }

  /** Handlers for engine events; pass them to `Engine.open`. */
  readonly engineEvents: EngineEvents = {
    deliver: (event) => this.hub.deliver(event),
    receive: (message) => this.receiveFromNode(message),
    historyGap: (stream) => {
      this.notices.historyGap(stream);
      // A stream with a new epoch may hold events that were never delivered here.
      this.waits.recheck(stream.tenant, stream.room);
      this.groups.doubtStream(stream);
    },
    gap: (tenant, room, missing) => {
      // With `missing`, all lost events are redelivered, to every kind of subscriber of the room.
      if (missing !== undefined) return this.repairs.raise(missing);
      this.repairs.gap(tenant, room);
      this.waits.recheck(tenant, room);
      this.groups.doubt(tenant, room);
    },
    health: ({ healthy, reason }) => {
      const { backend } = this.engine;
      if (healthy) this.rosters.recovered();
      if (healthy) this.groups.doubt();
      if (healthy) void attempt(() => this.streams.load(), this.options.onFault);
      if (healthy) this.events.emit('storage_recovered', null, { backend });
      else this.events.emit('storage_degraded', null, { backend, reason }, 'error');
    },
    trimmed: (state) => this.events.emit('history_trimmed', state.tenant, { ...state }, 'warning'),
    warning: (sentence) => this.options.onWarning?.(sentence),
  };

  /**
   * Applies new limits and rules while the bus runs. `maxBacklogBytes` and `presenceGraceMs` apply to new connections
   * and watchers; `maxMessageBytes`, `compression`, and the connection limits by address and subject to servers
   * attached later. Throws VALIDATION_ERROR for invalid rules, and then changes nothing.
   */
  adjust(change: Partial<Adjustable>): void {
    const { options, rates, rooms, rules } = this;
    const before = { ...options };
    Object.assign(options, change);
    try {
      rules.rebase(options.rules, [...rooms.tenants.keys()]);
    } catch (error) {
      Object.assign(options, before);
      throw error;
    }
    this.memory.adjust(options.maxMemoryBytes);
    this.hops.limit = options.maxHops;
    rooms.adjust(options);
    if (differ(before, options, ['retention', 'rules'])) {
      for (const tenant of rooms.tenants.keys()) void this.retention.applyAll(tenant);
    }
    if (!differ(before, options, ['rateLimitPerSecond', 'rateLimitBurst', 'subjectRateLimitPerSecond'])) return;
    rates.adjust();
    for (const session of this.sessions()) {
      const { tenant } = session.principal;
      session.buckets = rates.acquire(tenant, session.chargedTo);
      if (before.subjectRateLimitPerSecond > 0) rates.release(tenant, session.chargedTo);
    }
  }

  /** Creates the session of a newly connected client. */
  openSession(arrival: Arrival, wire: Wire): Session {
    const { principal, profile, clientKey, address, postId } = arrival;
    const { options, rooms, rates } = this;
    const id = postId === undefined ? newSecretId('arq_client_') : clientIdOf(postId);
    const identity = identityOf(arrival) ?? (clientKey === undefined ? id : `key:${clientKey}`);
    const outbox = new Outbox(wire, this.flusher, options.maxBacklogBytes, () => this.overrun(session));
    const tenant = rooms.tenant(principal.tenant);
    const chargedTo = principal.subject ?? address;
    const buckets = rates.acquire(tenant.name, chargedTo);
    const { traffic } = tenant;
    const session: Session = new Session(
      id,
      identity,
      principal,
      profile,
      wire,
      outbox,
      traffic,
      buckets,
      chargedTo,
      options.now(),
      address,
      postId,
    );
    tenant.sessions.set(id, session);
    tenant.sessionIds.add(id);
    tenant.identities.add(session);
    traffic.connections += 1;
    traffic.active += 1;
    this.cluster.announce(session);
    for (const listener of this.sessionOpened) listener(session);
    if (principal.expiresAt !== null) this.expiry.watch(session);
    this.events.emit('client_connected', tenant.name, {
      client_id: id,
      client_type: profile.clientType,
      sender: session.mark.record,
    });
    return session;
  }

  /**
   * Cleans up after a connection, however it ended. Idempotent. With `isFarewell`, presence watchers are notified at
   * once; otherwise they wait, since the client may reconnect shortly.
   */
  disconnect(session: Session, reason: string, isFarewell = false): void {
    if (session.closed) return;
    session.closed = true;
    this.memberships.leaveAll(session, isFarewell);
    this.groups.leaveAll(session);
    const tenant = this.rooms.tenant(session.principal.tenant);
    tenant.sessions.delete(session.id);
    tenant.sessionIds.remove(session.id);
    if (tenant.identities.remove(session)) {
      for (const listener of this.ownerLeft) listener(tenant.name, session.identity);
    }
    tenant.traffic.active -= 1;
    this.rates.release(tenant.name, session.chargedTo);
    this.cluster.withdraw(session);
    this.expiry.forget(session);
    this.waits.leave(session);
    this.standings.forget(session);
    for (const listener of this.sessionLeft) listener(session);
    this.events.emit('client_disconnected', tenant.name, { client_id: session.id, reason });
  }

  /** Flushes the queue, then closes the connection with a code of PROTOCOL section 8. */
  closeSession(session: Session, code: number, reason: string, patienceMs: number = CLOSE_PATIENCE_MS): void {
    if (session.closed) return;
    session.outbox.close(code, reason, patienceMs);
    this.disconnect(session, reason, code === CLOSE.DISCONNECTED_BY_ADMIN || code === NORMAL_CLOSURE);
  }

  /** Throws AUTHENTICATION_FAILED or AUTHORIZATION_ERROR for a principal that the tenant bars. */
  requireWelcome(principal: Principal): void {
    const barred = this.accessList.barred(principal);
    if (barred === null) return;
    const code = barred.status === 401 ? 'AUTHENTICATION_FAILED' : 'AUTHORIZATION_ERROR';
    throw new BusError(code, barred.reason, { reason: barred.reason });
  }

  private closeBarred(name: string): void {
    for (const session of [...(this.rooms.tenants.get(name)?.sessions.values() ?? [])]) {
      const barred = this.accessList.barred(session.principal);
      if (barred !== null) this.closeSession(session, CLOSE.DISCONNECTED_BY_ADMIN, barred.reason);
    }
  }

  *sessions(): Generator<Session> {
    for (const tenant of this.rooms.tenants.values()) yield* tenant.sessions.values();
  }

  /** Answers a refused envelope: a `command_response` to a command, an `error` to anything else. */
  fail(session: Session, inbound: Omit<Inbound, 'payload'>, error: unknown): void {
    const refused = error instanceof BusError ? error : this.internal(error);
    const { id: message_id, room, channel } = inbound;
    const { tenant } = session.principal;
    this.faults.failed(refused.code, { tenant, client_id: session.id, message_id, room, channel });
    session.send(encodeError(refused, inbound.id, inbound.type === 'command' ? inbound.command : undefined));
  }

  /** Answers a frame that was not a valid envelope. */
  refused(session: Session, refusal: Refusal): void {
    const { tenant } = session.principal;
    this.faults.failed(refusal.code, { tenant, client_id: session.id, message_id: refusal.requestId });
    session.send(encodeError(refusal, refusal.requestId, refusal.command));
  }

  /** What a client is told of an internal error: an id that finds it in the log. */
  internal(error: unknown): BusError {
    const error_id = newId();
    this.options.onFault(Object.assign(new Error(`internal error ${error_id}`, { cause: error }), { error_id }));
    return new BusError('INTERNAL_ERROR', `The server failed to do this; its log has the cause under ${error_id}.`, {
      error_id,
    });
  }

  /** Announces the shutdown to clients, each with its own delay, so that they do not all reconnect at once. */
  announceShutdown(spreadMs: number, sessions: Iterable<Session> = this.sessions()): void {
    for (const session of sessions) {
      const reconnect_after_ms = Math.floor(100 + Math.random() * spreadMs);
      session.send(encode({ type: 'system', payload: { event: 'shutdown', reconnect_after_ms } }));
    }
  }

  /** Handles a message from another node. */
  protected receiveFromNode(message: NodeMessage): void {
    const { kind, tenant: name, clients, text } = message;
    if (kind === 'call' || kind === 'answer') {
      this.calls.receive({ kind, text });
      return;
    }
    const tenant = this.rooms.tenants.get(name);
    switch (kind) {
      case 'private':
      case 'confirm':
        this.direct.receive(message);
        return;
      case 'presence':
        this.rosters.receive(name, text);
        return;
      case 'event':
        this.ephemeral.receive(message);
        return;
      case 'piece':
        this.streams.receive(message);
        return;
      case 'disconnect':
        for (const id of clients) {
          const session = tenant?.sessions.get(id);
          if (session !== undefined) this.closeSession(session, CLOSE.DISCONNECTED_BY_ADMIN, text);
        }
    }
  }

  /** The connection cannot keep up: it is closed, and may resume from the stored history (guarantee 5). */
  private overrun(session: Session): void {
    this.faults.slowConsumers += 1;
    const { tenant } = session.principal;
    const facts = { client_id: session.id, backlog_bytes: session.wire.backlog };
    this.events.emit('slow_consumer', tenant, facts, 'warning');
    session.wire.close(CLOSE.SLOW_CONSUMER, 'slow consumer');
    this.disconnect(session, 'slow_consumer');
  }
}

function identityOf({ principal }: Arrival): string | undefined {
  return principal.subject === null ? undefined : subjectIdentity(principal.subject);
}

function differ(one: BusOptions, other: BusOptions, names: readonly (keyof Adjustable)[]): boolean {
  return names.some((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}
