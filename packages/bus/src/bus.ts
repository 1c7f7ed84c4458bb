import type { Server } from 'node:http';
import {
  BusError,
  CLOSE,
  type Envelope,
  isChannelName,
  isRoomName,
  type JsonObject,
  newSecretId,
  parseAddress,
  WILDCARD,
} from '@arqonbus/protocol';
import { anonymousPrincipal } from './anonymous.ts';
import { andThen, attempt, isPending } from './awaitable.ts';
import { checkAttach, checkCreateOptions, checkSubscribe, requireFunction } from './check-options.ts';
import { deliverAnnouncement } from './commands/announce.ts';
import { CommandSet } from './commands/command.ts';
import { coreCommands } from './commands/core.ts';
import { CommandRunner } from './commands/run.ts';
import { tokenCommands } from './commands/token.ts';
import type { Wire } from './connection/outbox.ts';
import type { Arrival, Session } from './connection/session.ts';
import { Core } from './core.ts';
import type {
  Attached,
  AttachOptions,
  CreateBusOptions,
  GivenPrincipal,
  OperatorOptions,
  PublishOptions,
  PublishResult,
} from './create-options.ts';
import type { Awaitable, NodeMessage } from './engine/engine.ts';
import { createMemoryEngine } from './engine/memory/memory.ts';
import type { BusEvent, Happening } from './events.ts';
import { checkAddress, checkTenant, givenEvent, verification, withoutUndefined } from './given.ts';
import { Greeting } from './greeting.ts';
import { Ingress } from './ingress.ts';
import { type Inspector, NO_INSPECTION } from './inspection.ts';
import { type CronOperator, createCronOperator } from './operators/cron/cron.ts';
import { createLeaseOperator, type LeaseOperator } from './operators/lease/lease.ts';
import { createOmegaOperator, DEFAULT_OMEGA_OPTIONS } from './operators/omega/omega.ts';
import type { Operator } from './operators/operator.ts';
import { DEFAULT_STORE_LIMITS } from './operators/store/space.ts';
import { createStoreOperator, type StoreOperator } from './operators/store/store.ts';
import { createWebhookOperator, DEFAULT_WEBHOOK_OPTIONS, type WebhookOperator } from './operators/webhook/webhook.ts';
import { type Adjustable, type BusOptions, DEFAULT_OPTIONS } from './options.ts';
import { SessionPosts } from './posts.ts';
import type { Verification } from './principal.ts';
import type { PublishHook } from './publish-hooks.ts';
import { sendAwayOver } from './retreat.ts';
import { Subjects } from './subjects.ts';
import { systemSender } from './system-sender.ts';
import { atMost } from './timers.ts';
import { Gate } from './websocket/gate.ts';
import { UpgradeHandler } from './websocket/handshake.ts';
import { Heartbeat } from './websocket/heartbeat.ts';
import { type SessionHost, WebSocketSessions } from './websocket/sessions.ts';

const SWEEP_INTERVAL_MS = 1_000;
/** A dead node is reported as gone 12 s after its last sign of life, plus up to one interval: within 15 s. */
const REPORT_INTERVAL_MS = 2_000;
/** Delay before the other nodes are notified of a change in the number of clients. */
const CHANGE_INTERVAL_MS = 250;
const CLOSE_MS = 10_000;
/** The share of the shutdown time given to connections; the rest is for operators and the engine. */
const DRAIN_SHARE = 0.8;
/** Minimum time for the engine to flush, however short the shutdown time, in milliseconds. */
const MIN_REST_MS = 1_000;
/** The result for an event that is scheduled for later. */
const NOT_YET = { sequence: 0, epoch: '', delivered: 0 };
/** How long pending answers may wait for storage during shutdown, in milliseconds. */
const SETTLE_MS = 5_000;

/**
 * An in-process message bus: publish and subscribe from code, and attach it to HTTP servers for WebSocket clients.
 *
 * @example
 * const bus = await createBus();
 * bus.attach(httpServer, { path: '/bus' });
 * await bus.publish('orders:created', { id: 7 }, { as: 'shop' });
 */
export async function createBus(options: CreateBusOptions = {}): Promise<Bus> {
  checkCreateOptions(options);
  const bus = new Bus(options);
  try {
    await bus.start();
    bus.announceStart();
    return bus;
  } catch (error) {
    await bus.close({ withinMs: 0 });
    throw error;
  }
}

export class Bus extends Core implements SessionHost {
  readonly commands: CommandSet;
  readonly runner: CommandRunner;
  readonly ingress: Ingress;
  readonly posts: SessionPosts;
  readonly subjects: Subjects;
  readonly heartbeat: Heartbeat;
  private readonly greeting: Greeting;
  readonly operators: readonly Operator[];
  /** Null when disabled, like the three below. */
  readonly webhooks: WebhookOperator | null;
  readonly cron: CronOperator | null;
  readonly store: StoreOperator | null;
  private readonly lease: LeaseOperator | null;
  private readonly given: CreateBusOptions;
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly attached: Attached[] = [];
  private nextBeat: NodeJS.Timeout | null = null;
  private hasStarted = false;
  private closing: Promise<void> | null = null;
  private isClosed = false;

  /** Creates a bus without starting it; use {@link createBus} for a started one. */
  constructor(given: CreateBusOptions = {}) {
    const { publish = [], joined, left, http } = given.hooks ?? {};
    const inspectors = publish.filter((hook): hook is Inspector => typeof hook !== 'function');
    if (inspectors.length > 1) throw new Error('A bus has one content policy; "hooks.publish" names several.');
    const hooks = {
      publish: publish.filter((hook): hook is PublishHook => typeof hook === 'function'),
      joined,
      left,
      http,
    };
    const options: BusOptions = {
      ...DEFAULT_OPTIONS,
      node: newSecretId('node_').slice(0, 17),
      version: '0.1.0',
      onFault: given.onFault ?? ((error) => console.error(error)),
      ...withoutUndefined(given.limits ?? {}),
      ...(given.rules === undefined ? {} : { rules: given.rules }),
      ...(given.authorize === undefined ? {} : { authorize: given.authorize }),
    };
    super(given.engine ?? createMemoryEngine(), inspectors[0] ?? NO_INSPECTION, hooks, options);
    this.given = given;
    this.subjects = new Subjects(this);
    this.greeting = new Greeting(this, this.subjects);
    this.heartbeat = new Heartbeat(options.pingIntervalMs);
    const { store, lease, cron, webhook, omega } = given.operators ?? {};
    const operators: Operator[] = [];
    this.webhooks = webhook === false ? null : createWebhookOperator(this, webhook ?? DEFAULT_WEBHOOK_OPTIONS);
    if (this.webhooks !== null) operators.push(this.webhooks);
    const charge = (tenant: string, identity: string): boolean => this.rates.charge(tenant, identity);
    this.cron = cron === false ? null : createCronOperator(this, { charge, ...cron });
    if (this.cron !== null) operators.push(this.cron);
    this.store = store === false ? null : createStoreOperator(this, store ?? DEFAULT_STORE_LIMITS);
    if (this.store !== null) operators.push(this.store);
    this.lease = lease === false ? null : createLeaseOperator(this, lease);
    if (this.lease !== null) operators.push(this.lease);
    if (omega !== false) operators.push(createOmegaOperator(this, omega ?? DEFAULT_OMEGA_OPTIONS));
    this.operators = operators;
    const { refresh } = given;
    const verify = refresh === undefined ? null : (token: string) => this.verifyAnew(() => refresh(token));
    this.commands = new CommandSet([
      ...coreCommands(this, this.subjects, () => this.commands.all),
      ...tokenCommands(this, verify),
      ...operators.flatMap((operator) => operator.commands),
      ...(given.commands?.(this) ?? []),
    ]);
    this.runner = new CommandRunner(this, this.commands);
    this.ingress = new Ingress(
      this,
      (session, inbound) => this.runner.answer(session, inbound),
      this.cron === null ? null : this.cron.delay,
    );
    this.posts = new SessionPosts(this, this.ingress);
  }

  /** Like {@link adjust}, for operators. Omitted settings are unchanged; other operator settings cannot be changed. */
  adjustOperators({ store, lease, cron, webhook }: OperatorOptions): void {
    if (store) this.store?.adjust(store);
    if (lease) this.lease?.adjust(lease);
    if (cron) this.cron?.adjust(cron);
    if (webhook) this.webhooks?.adjust(webhook);
  }

  override adjust(change: Partial<Adjustable>): void {
    super.adjust(change);
    for (const attached of this.attached) attached.adjust(this.options);
  }

  /** Opens the engine and loads the stored state. */
  async start(): Promise<void> {
    await this.engine.open(this.engineEvents);
    this.rooms.tenant('default');
    this.accessList.start();
    this.rules.start();
    this.catalog.start();
    this.groups.start();
    this.streams.start();
    for (const operator of this.operators) operator.start();
    await this.loadState();
    this.every(SWEEP_INTERVAL_MS, () => void this.idle.run());
    // Errors of a beat are ignored: a storage outage is already reported.
    if (this.engine.presence !== null) {
      this.sessionOpened.add(() => this.beatSoon());
      this.sessionLeft.add(() => this.beatSoon());
    }
    this.every(REPORT_INTERVAL_MS, () => void this.beat().catch(() => {}));
  }

  /** Reports this node's status to the other nodes, if any, and records which of them are alive. */
  private async beat(): Promise<void> {
    const others = await this.directory.beat();
    if (others !== null) this.rosters.nodes(others);
  }

  /** Other nodes count this node's clients, so they are notified soon after a client connects or disconnects. */
  private beatSoon(): void {
    if (this.nextBeat !== null || this.closing !== null) return;
    this.nextBeat = setTimeout(() => {
      this.nextBeat = null;
      void this.beat().catch(() => {});
    }, CHANGE_INTERVAL_MS).unref();
  }

  /** Reports that the bus accepts clients; {@link createBus} already does this. */
  announceStart(): void {
    this.hasStarted = true;
    this.events.emit('server_started', null, { version: this.options.version, node: this.options.node });
  }

  /** Loads the stored state. In degraded mode the bus starts without it and loads it once the storage recovers. */
  private async loadState(): Promise<void> {
    try {
      await this.accessList.load();
      await this.rules.load();
      await this.catalog.load();
      await this.groups.load();
      for (const operator of this.operators) await operator.load();
      await this.streams.load();
    } catch (error) {
      if (this.engine.healthy() || this.given.startDegraded !== true) throw error;
      const stop = this.events.on(({ event }) => {
        if (event.eventType !== 'storage_recovered') return;
        stop();
        this.loadState().catch(this.options.onFault);
      });
    }
  }

  // In-process API ----------------------------------------------------------------------------------------------------

  /**
   * Publishes an event to `room:channel`, or to a whole room. Resolves with its stored position; rejects with a
   * `BusError` when refused. Hooks, `authorize` and the channel and memory limits apply as for clients;
   * `maxMessageBytes` and rate limits apply only to connections. An event for later is stored as an `op.cron` job.
   */
  async publish(address: string, payload: JsonObject, options: PublishOptions = {}): Promise<PublishResult> {
    const { from, principal, event } = givenEvent(address, payload, options);
    this.requireOpen();
    this.memory.requireRoom();
    const posted = await this.ingress.publish(systemSender(from, principal), event);
    return 'jobId' in posted ? { ...NOT_YET, ...posted } : posted.published;
  }

  /**
   * Calls `handler` with every event of `room:channel`, or of all channels of a room (`room:*`), in order. Errors it
   * throws go to `onFault`. Resolves once the subscription is active, with a function that stops it.
   */
  async subscribe(
    address: string,
    handler: (event: Envelope) => unknown,
    options: { readonly tenant?: string } = {},
  ): Promise<() => void> {
    checkSubscribe(handler, options);
    const { tenant = 'default' } = options;
    const { room, channel = WILDCARD } = parseAddress(checkAddress(address), undefined);
    if (room === undefined || !(isRoomName(room) && (channel === WILDCARD || isChannelName(channel)))) {
      throw new BusError('VALIDATION_ERROR', 'Subscribe to "room:channel" or "room:*".', { field: 'address' });
    }
    checkTenant(tenant);
    this.requireOpen();
    // Events from other nodes are only delivered to tenants known to this node.
    this.rooms.tenant(tenant);
    await this.interest.add(tenant, room);
    const { onFault } = this.options;
    const stop = this.hub.tap((event, from) => {
      if (from.tenant !== tenant || from.room !== room) return;
      if (channel !== WILDCARD && from.channel !== channel && !from.isWide) return;
      attempt(() => handler(JSON.parse(event.text) as Envelope) as Awaitable<unknown>, onFault);
    });
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      stop();
      this.interest.remove(tenant, room);
    };
  }

  /** Calls `listener` for every event of a type (`*` for all): `client_connected`, `slow_consumer` …; see TELEMETRY. */
  on(type: string, listener: (event: BusEvent, happening: Happening) => void): () => void {
    requireFunction(listener, 'listener', 'on()');
    return this.events.on((happening) => {
      if (type === '*' || happening.event.eventType === type) listener(happening.event, happening);
    });
  }

  // Transports --------------------------------------------------------------------------------------------------------

  /** Accepts WebSocket upgrades on a server that the program opens and closes itself. */
  attach(server: Server, options: AttachOptions = {}): Attached {
    checkAttach(server, options);
    this.requireOpen();
    const { path } = options;
    const gate = options.gate ?? this.gate(options);
    const closedFor = (): 'draining' | 'memory' | null => {
      if (this.isDraining) return 'draining';
      if (this.memory.isFull) this.memory.refused += 1;
      return this.memory.isFull ? 'memory' : null;
    };
    const { onFault } = this.options;
    const handler = new UpgradeHandler(
      { ...this.options, gate, closedFor, onFault },
      new WebSocketSessions(this, this.heartbeat),
    );
    const leave = handler.attach(server, path);
    const attached: Attached = {
      get connections() {
        return handler.connections;
      },
      refusals: handler.refusals,
      hold: (socket, address, principal) => handler.hold(socket, address, principal),
      adjust: ({ maxConnections }) => handler.adjust(maxConnections),
      empty: () => handler.empty(),
      destroy: () => handler.destroy(),
      detach: () => {
        leave();
      },
    };
    this.attached.push(attached);
    return attached;
  }

  /** Handshakes refused since the start, by HTTP status, over all servers ever attached. */
  refusals(): Map<number, number> {
    const sums = new Map<number, number>();
    for (const { refusals } of this.attached) {
      for (const [status, count] of refusals) sums.set(status, (sums.get(status) ?? 0) + count);
    }
    return sums;
  }

  private gate({ onLoopback = true, allowedOrigins = [], allowedHosts = [] }: AttachOptions): Gate {
    const { authenticate } = this.given;
    return new Gate({
      authenticate:
        authenticate === undefined ? null : (request) => verification(() => authenticate(request), this.options.now),
      anonymous: anonymousPrincipal('user', onLoopback),
      listeningOnLoopback: onLoopback,
      allowedOrigins,
      allowedHosts,
      onRefused: ({ status, details: reason }, address) =>
        this.events.emit('auth_failed', null, { status, reason, address }, 'warning'),
    });
  }

  /** Connects a client of any transport: opens its session, joins its first membership and sends its welcome. */
  connect(arrival: Arrival, wire: Wire): Session {
    const session = this.openSession(arrival, wire);
    const opened = this.greeting.send(session, arrival.join);
    if (isPending(opened)) this.ingress.holdUntil(session, opened);
    return session;
  }

  protected override receiveFromNode(message: NodeMessage): void {
    if (message.kind === 'post') this.posts.receive(message);
    else if (message.kind === 'subject') this.subjects.receive(message);
    else if (message.kind === 'announce') deliverAnnouncement(this, message);
    else super.receiveFromNode(message);
  }

  /**
   * Asks the backend, if configured, who the client is. Throws or rejects with a BusError when it refuses the
   * connection.
   */
  admit(arrival: Arrival): Awaitable<Arrival> {
    return andThen(this.http.connect(arrival.principal, arrival.join), (principal) => {
      if (principal === arrival.principal) return arrival;
      this.requireWelcome(principal);
      return { ...arrival, principal };
    });
  }

  /** Handles one text frame of a client: its text, or the bytes of that. */
  receive(session: Session, frame: string | Buffer): void {
    this.ingress.receive(session, frame);
  }

  receiveBinary(session: Session): void {
    this.ingress.receiveBinary(session);
  }

  // Shutdown ----------------------------------------------------------------------------------------------------------

  /**
   * Stops accepting clients, hands its groups over to other nodes, and disconnects clients in even slices over `overMs`
   * while serving the rest. Each is notified first and its requests are answered. With 0 all stay until {@link close}.
   */
  async retire(overMs: number): Promise<void> {
    this.isDraining = true;
    const handing = [this.groups, this.streams].map((one) => one.handOver().catch(this.options.onFault));
    await atMost(SETTLE_MS, Promise.all(handing));
    const settled = (): Promise<unknown> => Promise.all([this.ingress.settled(), this.runner.settled()]);
    if (overMs > 0) await sendAwayOver(this, settled, overMs);
  }

  /**
   * Stops accepting clients, notifies the connected ones, lets requests settle and closes all with 1001 within
   * `withinMs`, even slow ones. Clients reconnect spread over `spreadMs`. Unset {@link isDraining} to accept new ones.
   */
  async drain(withinMs: number, reason: string, spreadMs: number = withinMs): Promise<void> {
    const deadline = performance.now() + withinMs;
    const left = (): number => Math.max(0, deadline - performance.now());
    this.isDraining = true;
    this.announceShutdown(spreadMs);
    this.waits.endAll();
    this.groups.endPulls();
    for (const operator of this.operators) operator.drain?.();
    const settled = Promise.all([this.ingress.settled(), this.runner.settled()]);
    await atMost(Math.min(SETTLE_MS, left() / 2), settled);
    await atMost(Math.min(SETTLE_MS, left() / 2), this.streams.drain().catch(this.options.onFault));
    // Queued data may be sent until three quarters of the time have passed; the rest is for the close frame.
    for (const session of [...this.sessions()]) {
      this.closeSession(session, CLOSE.GOING_AWAY, reason, left() * 0.75);
    }
    const gone = this.attached.map((attached) => attached.empty());
    await atMost(left(), Promise.all(gone));
    for (const attached of this.attached) attached.destroy();
  }

  /**
   * Notifies the clients, flushes, closes every connection with 1001 and releases all resources, including the engine,
   * within `withinMs` (10 s). Attached servers keep running without the bus. Idempotent.
   */
  close({ withinMs = CLOSE_MS }: { readonly withinMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(withinMs);
    return this.closing;
  }

  private async shutDown(withinMs: number): Promise<void> {
    // A bus that failed to start has no stop to report, and no storage to record it in.
    if (this.hasStarted) this.events.emit('server_stopping', null, { node: this.options.node });
    for (const timer of this.timers) clearInterval(timer);
    if (this.nextBeat !== null) clearTimeout(this.nextBeat);
    try {
      await this.drain(withinMs * DRAIN_SHARE, 'server shutting down');
      await this.stopAll(withinMs * (1 - DRAIN_SHARE));
    } finally {
      // Detach last: until then new clients get a refusal that tells them to retry.
      for (const { detach } of this.attached) detach();
    }
  }

  private async stopAll(withinMs: number): Promise<void> {
    // Until here the program may still notify others that a client has left.
    this.isClosed = true;
    this.heartbeat.stop();
    this.memory.stop();
    this.expiry.stop();
    this.rosters.stop();
    const rest = (async () => {
      for (const operator of this.operators) await attempt(() => operator.stop(), this.options.onFault);
      await attempt(() => this.streams.stop(), this.options.onFault);
      await attempt(() => this.groups.stop(), this.options.onFault);
      await this.http.stop();
      this.calls.stop();
      await this.engine.close();
    })();
    await atMost(Math.max(MIN_REST_MS, withinMs), rest);
  }

  /** Repeats the check made at connect: a renewed token gives no more rights than the first one. */
  private async verifyAnew(who: () => Awaitable<GivenPrincipal>): Promise<Verification> {
    const verified = await verification(who, this.options.now);
    return verified.ok ? { ok: true, principal: await this.http.connect(verified.principal, undefined) } : verified;
  }

  /** Throws STORAGE_UNAVAILABLE once the bus is closed, since nothing could be stored or delivered. */
  private requireOpen(): void {
    if (this.isClosed) {
      throw new BusError('STORAGE_UNAVAILABLE', 'This bus is closed; createBus() makes another one.', {});
    }
  }

  private every(ms: number, run: () => void): void {
    this.timers.push(setInterval(run, ms).unref());
  }
}
