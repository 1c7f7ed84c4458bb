import {
  BusError,
  CLOSE,
  encode,
  encodeError,
  type Inbound,
  isRefusal,
  newId,
  newSecretId,
  type Refusal,
} from '@arqonbus/protocol';
import { Activity } from './activity.ts';
import { Catalog } from './catalog.ts';
import { Cluster } from './cluster.ts';
import { TokenExpiry } from './connection/expiry.ts';
import { Flusher, Outbox, type Wire } from './connection/outbox.ts';
import { type Arrival, Session } from './connection/session.ts';
import { encodeWelcome } from './connection/welcome.ts';
import { FaultCounters } from './counters.ts';
import { Direct, subjectIdentity } from './direct.ts';
import { Directory } from './directory.ts';
import { Dispatch, type RunCommand } from './dispatch.ts';
import type { Awaitable, Engine, NodeMessage, StreamAddress } from './engine/engine.ts';
import { Events } from './events.ts';
import { Hub } from './hub.ts';
import { IdleSweep } from './idle.ts';
import { type Act, accept, holdUntil } from './inbox.ts';
import { Notices } from './notices.ts';
import type { BusOptions } from './options.ts';
import { type Inspector, Publisher } from './publish.ts';
import { Rooms } from './rooms.ts';
import { Submissions } from './submission.ts';
import { Interest } from './subscribe/interest.ts';
import { type Joined, type JoinRequest, Memberships } from './subscribe/join.ts';

/** Joins the parts of the bus: sessions come in here, envelopes are handed to the part that knows what to do. */
export class Bus {
  readonly options: BusOptions;
  readonly engine: Engine;
  readonly rooms: Rooms;
  readonly hub: Hub;
  readonly interest: Interest;
  readonly events: Events;
  readonly publisher: Publisher;
  readonly direct: Direct;
  readonly submissions: Submissions;
  readonly memberships: Memberships;
  readonly activity: Activity;
  readonly cluster: Cluster;
  readonly notices: Notices;
  readonly directory: Directory;
  readonly catalog: Catalog;
  readonly idle: IdleSweep;
  readonly expiry: TokenExpiry;
  readonly faults: FaultCounters = new FaultCounters();
  readonly inspector: Inspector;
  readonly startedAt: number;
  /** Told when the last connection of an identity has gone: what it owns and is not durable goes with it. */
  readonly ownerLeft: Set<(tenant: string, identity: string) => void> = new Set();
  /** Told when a connection has gone. */
  readonly sessionLeft: Set<(session: Session) => void> = new Set();
  private readonly flusher = new Flusher();
  private readonly act: Act;
  private readonly unsettled: Set<Promise<void>> = new Set();
  /** Whether new clients are turned away. */
  isDraining = false;

  /** @param runCommand runs and answers commands; they live on the floor above and know the bus */
  constructor(engine: Engine, inspector: Inspector, runCommand: RunCommand, options: BusOptions) {
    const { now } = options;
    this.options = options;
    this.engine = engine;
    this.inspector = inspector;
    this.startedAt = now();
    this.events = new Events(options.node, options.onFault);
    this.rooms = new Rooms({ ...options, bootstrap: options.bootstrapRooms });
    this.hub = new Hub(this.rooms, now);
    this.interest = new Interest(engine.broker);
    this.publisher = new Publisher(this.rooms, engine.broker, inspector, options, now);
    this.direct = new Direct(this.rooms, engine, inspector);
    this.memberships = new Memberships(this.rooms, engine.broker, this.hub, this.interest, this.events, options);
    this.activity = new Activity(this.publisher, options.telemetryRoom, options.serverTenant, options.onFault);
    this.notices = new Notices(this.rooms, this.hub, this.events);
    this.cluster = new Cluster(engine.presence, options.node, options.onFault);
    this.directory = new Directory(this.rooms, engine, { ...options, startedAt: this.startedAt });
    this.catalog = new Catalog(this.rooms, engine.store, engine.broker, (channel) =>
      this.notices.deleted(channel, 'command'),
    );
    this.idle = new IdleSweep(this.rooms, engine.broker, { ...options, isAlone: engine.presence === null }, (channel) =>
      this.notices.deleted(channel, 'idle'),
    );
    this.expiry = new TokenExpiry(now, (session, code, reason) => this.close(session, code, reason));
    this.memberships.onChange = (session) => this.cluster.announce(session);
    this.memberships.onPresence = (channel, payload) => this.cluster.tellPresence(channel, payload);
    const fail = this.fail.bind(this);
    this.submissions = new Submissions(this.publisher, this.activity, this.events, inspector);
    const { publisher, direct, activity, submissions } = this;
    const dispatch = new Dispatch({ publisher, direct, activity, submissions, runCommand, fail });
    this.act = (session, incoming) => {
      if (isRefusal(incoming)) return this.answerRefused(session, incoming);
      const done = dispatch.handle(session, incoming);
      if (done instanceof Promise) {
        this.unsettled.add(done);
        done.finally(() => this.unsettled.delete(done));
      }
      return done;
    };
    if (options.telemetry) this.events.on((happening) => this.activity.record(happening));
    this.rooms.onCreated = (channel) => {
      this.idle.revive(channel);
      this.notices.created(channel);
    };
  }

  /** Takes the engine's callbacks: pass these to {@link Engine.open}. */
  readonly engineEvents = {
    deliver: (event: Parameters<Hub['deliver']>[0]): number => this.hub.deliver(event),
    receive: (message: NodeMessage): void =>
      this.cluster.receive(message, this.rooms, this.hub, this.direct, (session, code, reason) =>
        this.close(session, code, reason),
      ),
    historyGap: (stream: StreamAddress): void => this.notices.historyGap(stream),
    gap: (): void => {},
    trimmed: (): void => {},
    warning: (sentence: string): void => this.options.onWarning?.(sentence),
    health: ({ healthy, reason }: { healthy: boolean; reason: string }): void => {
      const { backend } = this.engine;
      if (healthy) this.events.emit('storage_recovered', null, { backend });
      else this.events.emit('storage_degraded', null, { backend, reason }, 'error');
    },
  };

  /** Connects a client: its session, its first membership, its welcome. */
  connect(arrival: Arrival, wire: Wire): Session {
    const { principal, profile, clientKey } = arrival;
    const id = newSecretId('arq_client_');
    const identity =
      principal.subject !== null
        ? subjectIdentity(principal.subject)
        : clientKey === undefined
          ? id
          : `key:${clientKey}`;
    const outbox = new Outbox(wire, this.flusher, this.options.maxBacklogBytes, () => this.overrun(session));
    const tenant = this.rooms.tenant(principal.tenant);
    const session: Session = new Session(
      id,
      identity,
      principal,
      profile,
      wire,
      outbox,
      tenant.traffic,
      this.options.now(),
    );
    tenant.sessions.set(id, session);
    const connections = tenant.identities.get(identity);
    if (connections === undefined) tenant.identities.set(identity, new Set([session]));
    else connections.add(session);
    tenant.traffic.connections += 1;
    tenant.traffic.active += 1;
    this.cluster.announce(session);
    if (principal.expiresAt !== null) this.expiry.watch(session);
    this.events.emit('client_connected', tenant.name, { client_id: id, client_type: profile.clientType });
    const opened = this.open(session, arrival.join);
    if (opened instanceof Promise) holdUntil(session, opened, this.act);
    return session;
  }

  /** Takes one validated envelope of a client. Answers and faults go to that client; this never throws. */
  accept(session: Session, inbound: Inbound): void {
    session.lastActivity = this.options.now();
    session.traffic.received += 1;
    accept(session, inbound, this.act);
  }

  /** Answers a frame that was no valid envelope, after what came before it. */
  refuse(session: Session, refusal: Refusal): void {
    this.faults.failed(refusal.code, { client_id: session.id, message_id: refusal.requestId });
    accept(session, refusal, this.act);
  }

  /** Cleans up after a connection, however it ended. Idempotent. */
  disconnect(session: Session, reason: string): void {
    if (session.closed) return;
    session.closed = true;
    session.outbox.shut();
    this.memberships.leaveAll(session);
    const tenant = this.rooms.tenant(session.principal.tenant);
    tenant.sessions.delete(session.id);
    const connections = tenant.identities.get(session.identity);
    connections?.delete(session);
    if (connections?.size === 0) {
      tenant.identities.delete(session.identity);
      for (const listener of this.ownerLeft) listener(tenant.name, session.identity);
    }
    tenant.traffic.active -= 1;
    this.cluster.withdraw(session);
    this.expiry.forget(session);
    for (const listener of this.sessionLeft) listener(session);
    this.events.emit('client_disconnected', tenant.name, { client_id: session.id, reason });
  }

  /** Sends what is queued, then closes the connection with a code of PROTOCOL section 8. */
  close(session: Session, code: number, reason: string): void {
    if (session.closed) return;
    session.outbox.flush();
    session.wire.close(code, reason);
    this.disconnect(session, reason);
  }

  /** Announces the end to every client, each with its own delay, so that they do not all come back at once. */
  announceShutdown(spreadMs: number): void {
    for (const session of this.sessions()) {
      const reconnect_after_ms = Math.floor(100 + Math.random() * spreadMs);
      session.send(encode({ type: 'system', payload: { event: 'shutdown', reconnect_after_ms } }));
    }
  }

  closeAll(code: number, reason: string): void {
    for (const session of [...this.sessions()]) this.close(session, code, reason);
  }

  /** Resolves when everything that was accepted so far has been answered. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.unsettled);
  }

  *sessions(): Generator<Session> {
    for (const tenant of this.rooms.tenants.values()) yield* tenant.sessions.values();
  }

  /** Answers a refused envelope: a `command_response` to a command, an `error` to anything else. */
  fail(session: Session, inbound: Inbound, error: unknown): void {
    const refused = error instanceof BusError ? error : this.internal(error);
    const { id: message_id, room, channel } = inbound;
    this.faults.failed(refused.code, { client_id: session.id, message_id, room, channel });
    session.send(encodeError(refused, inbound.id, inbound.type === 'command' ? inbound.command : undefined));
  }

  /** What a client may know of a fault of the server's own: an id that finds it in the log. */
  internal(error: unknown): BusError {
    const error_id = newId();
    this.options.onFault(Object.assign(new Error(`internal error ${error_id}`, { cause: error }), { error_id }));
    return new BusError('INTERNAL_ERROR', `The server failed to do this; its log has the cause under ${error_id}.`, {
      error_id,
    });
  }

  private answerRefused(session: Session, refusal: Refusal): void {
    session.send(encodeError(refusal, refusal.requestId, refusal.command));
  }

  /** The first frames of a connection: its welcome, and what became of the membership it asked for. */
  private open(session: Session, request: JoinRequest | undefined): Awaitable<void> {
    if (request === undefined) return this.welcome(session, null);
    const refused = (error: unknown): void => {
      this.welcome(session, null);
      const fault = error instanceof BusError ? error : this.internal(error);
      this.faults.failed(fault.code, { client_id: session.id, room: request.room, channel: request.channel });
      session.send(encodeError(fault, undefined));
    };
    const joined = ({ begin }: Joined): void => {
      this.welcome(session, request);
      begin();
    };
    try {
      const membership = this.memberships.join(session, request);
      return membership instanceof Promise ? membership.then(joined, refused) : joined(membership);
    } catch (error) {
      refused(error);
    }
  }

  private welcome(session: Session, joined: JoinRequest | null): void {
    session.send(encodeWelcome(session, joined, this.options));
  }

  /** The connection cannot keep up: it is cut, and may resume what history keeps (guarantee 5). */
  private overrun(session: Session): void {
    this.faults.slowConsumers += 1;
    const { tenant } = session.principal;
    this.events.emit(
      'slow_consumer',
      tenant,
      { client_id: session.id, backlog_bytes: session.wire.backlog },
      'warning',
    );
    session.wire.close(CLOSE.SLOW_CONSUMER, 'slow consumer');
    this.disconnect(session, 'slow_consumer');
  }
}
