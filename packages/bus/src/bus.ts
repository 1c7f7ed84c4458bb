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
import { attempt, isPending } from './awaitable.ts';
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
/** A dead node is told as gone 12 s after its last sign of life, or one interval later: within 15 s. */
const REPORT_INTERVAL_MS = 2_000;
/** How soon the other nodes are told of a change in the number of clients. */
const CHANGE_INTERVAL_MS = 250;
const CLOSE_MS = 10_000;
/** The share of a close's time that connections have; the rest is for operators and engine. */
const DRAIN_SHARE = 0.8;
/** The engine may flush for this long, however short the time was, in milliseconds. */
const MIN_REST_MS = 1_000;
/** What is said of an event that is to be published later. */
const NOT_YET = { sequence: 0, epoch: '', delivered: 0 };
/** How long answers that wait for storage may still take, in milliseconds. */
const SETTLE_MS = 5_000;

/**
 * A message bus in this process: publish and subscribe here, attach it to HTTP servers for clients over WebSocket.
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
  /** Null when they were left out. */
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

  /** Makes a bus that is not open yet; {@link createBus} makes one that is. */
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

  /** {@link adjust} for the operators; what is not given stays. Other settings of theirs are for good. */
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

  /** Opens the engine and takes up what is kept in it. */
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
    // That the storage is away is told already.
    if (this.engine.presence !== null) {
      this.sessionOpened.add(() => this.beatSoon());
      this.sessionLeft.add(() => this.beatSoon());
    }
    this.every(REPORT_INTERVAL_MS, () => void this.beat().catch(() => {}));
  }

  /** Tells the other nodes, if there can be any, how this one is doing, and takes note of which of them live. */
  private async beat(): Promise<void> {
    const others = await this.directory.beat();
    if (others !== null) this.rosters.nodes(others);
  }

  /** The other nodes count this one's clients: they are told soon after one came or went. */
  private beatSoon(): void {
    if (this.nextBeat !== null || this.closing !== null) return;
    this.nextBeat = setTimeout(() => {
      this.nextBeat = null;
      void this.beat().catch(() => {});
    }, CHANGE_INTERVAL_MS).unref();
  }

  /** Tells that clients are taken from now on; {@link createBus} has told it. */
  announceStart(): void {
    this.hasStarted = true;
    this.events.emit('server_started', null, { version: this.options.version, node: this.options.node });
  }

  /** Takes up what is kept in the store. Degraded mode starts without it, and takes it up once the store is there. */
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

  // The program's own side --------------------------------------------------------------------------------------------

  /**
   * Publishes an event to `room:channel`, or to a whole room. Resolves with where it was stored; rejects with a
   * `BusError` when it is refused. Hooks, `authorize` and the bounds of channels and memory hold for the program as for
   * its clients; `maxMessageBytes` and rates bound connections alone. An event for later is kept as a job of `op.cron`.
   */
  async publish(address: string, payload: JsonObject, options: PublishOptions = {}): Promise<PublishResult> {
    const { from, principal, event } = givenEvent(address, payload, options);
    this.requireOpen();
    this.memory.requireRoom();
    const posted = await this.ingress.publish(systemSender(from, principal), event);
    return 'jobId' in posted ? { ...NOT_YET, ...posted } : posted.published;
  }

  /**
   * Calls `handler` with every event of `room:channel`, or of all channels of a room (`room:*`), in order. What it
   * throws goes to `onFault`. Resolves with the way to stop once no later event is missed.
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
    // Events of other nodes are for tenants that this node knows.
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

  /** Calls `listener` with every event of a type (`*`: of all): `client_connected`, `slow_consumer` …; see TELEMETRY. */
  on(type: string, listener: (event: BusEvent, happening: Happening) => void): () => void {
    requireFunction(listener, 'listener', 'on()');
    return this.events.on((happening) => {
      if (type === '*' || happening.event.eventType === type) listener(happening.event, happening);
    });
  }

  // Transports --------------------------------------------------------------------------------------------------------

  /** Takes WebSocket upgrades of a server that the program opens and closes itself. */
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

  /** Handshakes refused since the start at all servers that were ever attached, by their HTTP status. */
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

  /** Connects a client of any transport: its session, its first membership, its welcome. */
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

  /** Asks the backend, if one is named, who may connect as whom. Rejects with a BusError that refuses it. */
  async admit(arrival: Arrival): Promise<Arrival> {
    const principal = await this.http.connect(arrival.principal, arrival.join);
    if (principal !== arrival.principal) this.requireWelcome(principal);
    return { ...arrival, principal };
  }

  receive(session: Session, text: string): void {
    this.ingress.receive(session, text);
  }

  receiveBinary(session: Session): void {
    this.ingress.receiveBinary(session);
  }

  // Its end -----------------------------------------------------------------------------------------------------------

  /**
   * Takes no more clients, lets other nodes drive its groups, and sends its clients away in even slices over `overMs`,
   * while it serves the rest. Each is told first, and what it sent is answered. With 0 all stay until {@link close}.
   */
  async retire(overMs: number): Promise<void> {
    this.isDraining = true;
    const handing = [this.groups, this.streams].map((one) => one.handOver().catch(this.options.onFault));
    await atMost(SETTLE_MS, Promise.all(handing));
    const settled = (): Promise<unknown> => Promise.all([this.ingress.settled(), this.runner.settled()]);
    if (overMs > 0) await sendAwayOver(this, settled, overMs);
  }

  /**
   * Takes no more clients, tells those that are there, lets what they sent settle, and closes them with 1001: all of it
   * within `withinMs`, however slow their lines are. They are told to come back spread over `spreadMs`. New clients are taken again once {@link isDraining} is unset.
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
    // What is queued for a slow line is sent as far as three quarters of the time go; the rest is for its close frame.
    for (const session of [...this.sessions()]) {
      this.closeSession(session, CLOSE.GOING_AWAY, reason, left() * 0.75);
    }
    const gone = this.attached.map((attached) => attached.empty());
    await atMost(left(), Promise.all(gone));
    for (const attached of this.attached) attached.destroy();
  }

  /**
   * Tells the clients, flushes, closes every connection with 1001 and lets go of every resource, the engine included,
   * within `withinMs` (10 s). Attached servers go on without the bus. Idempotent.
   */
  close({ withinMs = CLOSE_MS }: { readonly withinMs?: number } = {}): Promise<void> {
    this.closing ??= this.shutDown(withinMs);
    return this.closing;
  }

  private async shutDown(withinMs: number): Promise<void> {
    // A bus that could not start has nothing to stop, nor a storage to write it to.
    if (this.hasStarted) this.events.emit('server_stopping', null, { node: this.options.node });
    for (const timer of this.timers) clearInterval(timer);
    if (this.nextBeat !== null) clearTimeout(this.nextBeat);
    try {
      await this.drain(withinMs * DRAIN_SHARE, 'server shutting down');
      await this.stopAll(withinMs * (1 - DRAIN_SHARE));
    } finally {
      // Last: until then whoever comes is told to come again, and not that nothing is here.
      for (const { detach } of this.attached) detach();
    }
  }

  private async stopAll(withinMs: number): Promise<void> {
    // Until here the program may still tell the others that a client has left.
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

  /** Whoever was asked who connects is asked again: a renewed token is worth no more than the first one was. */
  private async verifyAnew(who: () => Awaitable<GivenPrincipal>): Promise<Verification> {
    const verified = await verification(who, this.options.now);
    return verified.ok ? { ok: true, principal: await this.http.connect(verified.principal, undefined) } : verified;
  }

  /** Throws STORAGE_UNAVAILABLE once the bus is closed: nothing would keep or deliver what it is given. */
  private requireOpen(): void {
    if (this.isClosed) {
      throw new BusError('STORAGE_UNAVAILABLE', 'This bus is closed; createBus() makes another one.', {});
    }
  }

  private every(ms: number, run: () => void): void {
    this.timers.push(setInterval(run, ms).unref());
  }
}
