import {
  BusError,
  decode,
  type Envelope,
  encode,
  encodeError,
  type Inbound,
  isRefusal,
  type JsonObject,
  newId,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import { type AddressInput, readPlace } from '../address.ts';
import type { OpenSocket, SocketEnd } from '../socket.ts';
import { FakeClock } from './fake-clock.ts';
import { builtInCommands, type FakeCommand, type FakeState } from './fake-commands.ts';
import { FakeConnection } from './fake-connection.ts';
import { FakeGroups } from './fake-groups.ts';
import { FakeLeases } from './fake-leases.ts';
import { FakePresence } from './fake-presence.ts';
import { type FakeEvent, FakeStream } from './fake-stream.ts';

export { BusError } from '@arqonbus/protocol';
export { FakeClock } from './fake-clock.ts';
export type { FakeCommand } from './fake-commands.ts';
export { FakeConnection } from './fake-connection.ts';
export type { FakeStream } from './fake-stream.ts';

/** Consecutive rate-limit refusals after which a connection is closed. */
const MAX_REFUSALS = 100;

/**
 * The options for the clients of a fake server.
 *
 * ```ts
 * const { url, socket, clock }: FakeOptions = server.options;
 * ```
 */
export interface FakeOptions {
  url: string;
  socket: OpenSocket;
  clock: FakeClock;
}

/**
 * A bus without a network: enough of the server to test a program, fully controlled by the test. It supports the
 * welcome, joins, publishing with acks and idempotency, history and replay, private messages between its clients, and
 * the commands that a client needs; script further ones with {@link FakeServer.answer}.
 *
 * ```ts
 * const server = new FakeServer();
 * const client = new ArqonBusClient({ ...server.options });
 * await client.connect();
 * ```
 */
export class FakeServer {
  readonly clock: FakeClock;
  /** The open connections, oldest first. */
  readonly connections: FakeConnection[] = [];
  /** Every envelope from clients, as sent. */
  readonly received: Envelope[] = [];
  /** The number of connection attempts, including refused ones. */
  dialled = 0;
  /** Acks are created but not sent. */
  dropAcks = false;
  /** Events stored for each channel. */
  historySize = 500;
  /** Maximum messages of a mailbox; further ones are refused with `MAILBOX_FULL`. */
  mailboxSize = 1_000;
  /** While set, every handshake ends like this: `{code: 1006, status: 401, …}`. */
  refusal: (Partial<SocketEnd> & { reason?: string }) | undefined;
  /** While set, there is no welcome: the handshake succeeds and nothing follows. */
  silent = false;
  /** The features in the welcome: remove some to test against an older server. */
  features: string[] = [
    'options',
    'groups',
    'mailboxes',
    'receipts',
    'requests',
    'wait',
    'presence-state',
    'patterns',
    'leases',
  ];
  pingIntervalMs = 20_000;
  maxMessageBytes = 1_048_576;
  /**
   * The rate limit of each connection. Faster messages are refused with `RATE_LIMITED`, and a connection with 100
   * consecutive refusals is closed with 4429.
   */
  rateLimit: { perSecond: number; burst: number } | undefined;
  readonly #streams = new Map<string, FakeStream>();
  readonly #commands: Map<string, FakeCommand>;
  readonly #acks = new Map<string, JsonObject>();
  readonly #groups = new FakeGroups((envelope, stage, attempts) => this.#settled(envelope, stage, attempts));
  readonly #leases: FakeLeases;
  readonly #presence = new FakePresence(this.connections);
  /** Which connection requested the receipt of which message. */
  readonly #awaited = new Map<string, FakeConnection>();

  constructor(clock: FakeClock = new FakeClock()) {
    this.clock = clock;
    this.#leases = new FakeLeases(clock);
    const state: FakeState = {
      stream: (room, channel) => this.#streamOf(room, channel),
      streams: () => this.#streams.values(),
      connections: this.connections,
      groups: this.#groups,
      leases: this.#leases,
      presence: this.#presence,
    };
    this.#commands = builtInCommands(state);
  }

  /** Spread these into a client's options. */
  get options(): FakeOptions {
    return { url: 'ws://fake.invalid/', socket: this.openSocket, clock: this.clock };
  }

  /** The client's end of a new connection. */
  readonly openSocket: OpenSocket = (request, events) => {
    this.dialled += 1;
    const connection = new FakeConnection(
      request,
      events,
      (from, text) => this.#take(from, text),
      (ended) => {
        const at = this.connections.indexOf(ended);
        if (at >= 0) this.connections.splice(at, 1);
        for (const part of [this.#groups, this.#leases, this.#presence]) part.gone(ended);
      },
    );
    const { refusal } = this;
    if (refusal !== undefined) connection.end({ code: 1006, reason: '', ...refusal });
    else {
      this.connections.push(connection);
      if (!this.silent) this.#greet(connection);
    }
    return connection.socket;
  };

  /** The newest open connection. Throws if there is none. */
  get connection(): FakeConnection {
    const connection = this.connections[this.connections.length - 1];
    if (connection === undefined) throw new Error('No client is connected.');
    return connection;
  }

  /** Overrides the answer to a command; returns a function that restores the previous one. */
  answer(name: string, command: FakeCommand): () => void {
    const before = this.#commands.get(name);
    this.#commands.set(name, command);
    return () => {
      if (before === undefined) this.#commands.delete(name);
      else this.#commands.set(name, before);
    };
  }

  /** A channel's events: its position, its history, and ways to lose it. */
  stream(at: AddressInput): FakeStream {
    const { room, channel } = readPlace(at);
    return this.#streamOf(room, channel);
  }

  #streamOf(room: string, channel: string): FakeStream {
    const name = `${room}:${channel}`;
    const stream = this.#streams.get(name) ?? new FakeStream(room, channel);
    this.#streams.set(name, stream);
    return stream;
  }

  /** Publishes as another client, or as `from`. */
  publish(at: AddressInput, payload: JsonObject, from = 'arq_client_somebody'): Position {
    return this.#publish(this.stream(at), { id: newId(), type: 'event', from, payload });
  }

  /** Skips a presence version of a channel, so that its next notice shows a gap. */
  skipPresence(at: string): void {
    this.#presence.skip(at);
  }

  /** Envelopes from clients, by type or command name. */
  sent(kind: string): Envelope[] {
    return this.received.filter(({ type, command }) => type === kind || command === kind);
  }

  /** Breaks every connection. */
  kill(code = 1006, reason = ''): void {
    for (const connection of [...this.connections]) connection.kill(code, reason);
  }

  /** Sends everyone a shutdown notice with `reconnectAfterMs`, and closes with 1001. */
  shutDown(reconnectAfterMs: number): void {
    for (const connection of [...this.connections]) {
      connection.notice({ event: 'shutdown', reconnect_after_ms: reconnectAfterMs });
      // A microtask after the notice's own, so that the notice arrives first.
      queueMicrotask(() => connection.kill(1001, 'server shutting down'));
    }
  }

  #greet(connection: FakeConnection): void {
    connection.notice({
      event: 'welcome',
      welcome: 'Connected to ArqonBus',
      client_id: connection.clientId,
      role: 'admin',
      tenant: 'default',
      room: null,
      channel: null,
      server: { name: 'ArqonBus', version: 'fake', protocol: '1.0', node: 'fake' },
      features: [...this.features],
      limits: { max_message_bytes: this.maxMessageBytes, ping_interval_ms: this.pingIntervalMs },
    });
  }

  #take(connection: FakeConnection, text: string): void {
    this.received.push(JSON.parse(text) as Envelope);
    const inbound = decode(text, true);
    if (isRefusal(inbound)) {
      connection.sendText(encodeError(inbound, inbound.requestId, inbound.command));
      return;
    }
    try {
      this.#charge(connection);
      if (inbound.type === 'command') this.#run(connection, inbound);
      else if (inbound.type === 'private') this.#pass(connection, inbound);
      else this.#accept(connection, inbound);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      connection.sendText(encodeError(error, inbound.id, inbound.type === 'command' ? inbound.command : undefined));
    }
  }

  #charge(connection: FakeConnection): void {
    if (this.rateLimit === undefined) return;
    const { perSecond, burst } = this.rateLimit;
    const now = this.clock.now();
    const { tokens, at } = connection.budget ?? { tokens: burst, at: now };
    const left = Math.min(burst, tokens + ((now - at) * perSecond) / 1_000);
    connection.budget = { tokens: left >= 1 ? left - 1 : left, at: now };
    if (left >= 1) {
      connection.refusals = 0;
      return;
    }
    connection.refusals += 1;
    if (connection.refusals >= MAX_REFUSALS) queueMicrotask(() => connection.kill(4429, 'sustained rate limit'));
    const wait = Math.ceil(((1 - left) * 1_000) / perSecond);
    throw new BusError('RATE_LIMITED', 'You are sending faster than the server allows.', { retry_after_ms: wait });
  }

  #run(connection: FakeConnection, { id, command, args }: Inbound): void {
    const run = this.#commands.get(command);
    if (run === undefined) throw new BusError('COMMAND_NOT_FOUND', `There is no command "${command}".`);
    const after: (() => void)[] = [];
    const payload = run(args, connection, (later) => after.push(later));
    if (payload === undefined) return;
    connection.send({ type: 'command_response', request_id: id, command, status: 'success', payload });
    for (const later of after) later();
  }

  #accept(connection: FakeConnection, inbound: Inbound): void {
    const { id, type, room = 'lobby', channel = WILDCARD, payload, metadata } = inbound;
    const key = `${connection.query.get('client_key')} ${room}:${channel} ${id}`;
    const known = this.#acks.get(key);
    if (known !== undefined) {
      this.#ack(connection, inbound, { ...known, duplicate: true, delivered: 0 });
      return;
    }
    const from = connection.clientId;
    const { options } = inbound;
    const { timeout_ms = 0, group = 'serve' } = options?.request ?? {};
    const request = options?.request && { deadline: new Date(this.clock.now() + timeout_ms).toISOString() };
    const event: FakeEvent = {
      id,
      type: type as 'event',
      from,
      payload,
      metadata: { ...metadata, ...(request && { request }) },
    };
    const place = { type: 'event', room, channel } as Envelope;
    if (request !== undefined && this.#groups.live(place, group) === 0) {
      throw new BusError('NO_RESPONDERS', `Nobody of the group "${group}" is there.`);
    }
    this.#expect(this.stream({ room, channel }), options?.expect);
    if (options?.receipt !== undefined) this.#awaited.set(id, connection);
    const position = this.#publish(this.stream({ room, channel }), event);
    const ack = { ...position, delivered: 1, duplicate: false, stored: 'memory' };
    this.#acks.set(key, ack);
    this.#ack(connection, inbound, ack);
  }

  #expect({ position, kept }: FakeStream, expected: JsonObject | undefined): void {
    if (expected === undefined) return;
    const { sequence, last_id } = expected;
    const isThere = last_id === undefined ? sequence === position.sequence : kept.at(-1)?.id === last_id;
    if (!isThere) throw new BusError('CONFLICT', `The channel stands at ${position.sequence}.`, { ...position });
  }

  /** Sends the receipt of a message to the connection that requested it. */
  #settled({ id }: Envelope, stage: string, attempts: number): void {
    const payload = { stage, by: { subject: 'somebody' }, attempts };
    this.#awaited.get(id)?.send({ type: 'ack', request_id: id, payload });
    this.#awaited.delete(id);
  }

  #pass(connection: FakeConnection, inbound: Inbound): void {
    const { id, to = [], payload, metadata, requestId, options } = inbound;
    const boxes = to.filter((target) => target.startsWith('@'));
    if (boxes.length > 0) {
      if (options?.receipt !== undefined) this.#awaited.set(id, connection);
      for (const box of boxes) {
        const stream = this.#streamOf('@', box.slice(1));
        const pending = stream.kept.length;
        if (pending >= this.mailboxSize) throw new BusError('MAILBOX_FULL', `${box} is full.`, { pending });
        this.#publish(stream, { id, type: 'private', from: connection.clientId, payload, metadata });
      }
      this.#ack(connection, inbound, { delivered: 0, duplicate: false, undelivered: [], queued: boxes, pending: 1 });
      return;
    }
    const reached = this.connections.filter(({ clientId }) => to.includes(clientId));
    if (reached.length === 0) throw new BusError('TARGET_NOT_FOUND', 'No addressed client is connected.');
    const text = encode({
      type: 'private',
      id,
      from: connection.clientId,
      to: [...to],
      payload,
      ...(requestId === undefined ? {} : { request_id: requestId }),
      ...(metadata === undefined ? {} : { metadata }),
    });
    for (const other of reached) other.sendText(text);
    const undelivered = to.filter((target) => reached.every(({ clientId }) => clientId !== target));
    this.#ack(connection, inbound, { delivered: reached.length, duplicate: false, undelivered });
  }

  #ack(connection: FakeConnection, { id, ack }: Inbound, payload: JsonObject): void {
    if (ack && !this.dropAcks) connection.send({ type: 'ack', request_id: id, payload });
  }

  #publish(stream: FakeStream, event: FakeEvent): Position {
    const envelope = stream.append(event, this.clock.now(), this.historySize);
    for (const connection of this.connections) {
      const memberships = connection.covering(stream.room, stream.channel);
      const isHeard = event.from !== connection.clientId || memberships.some(({ echo }) => echo);
      if (memberships.length > 0 && isHeard) connection.send(envelope);
    }
    this.#groups.offer(envelope);
    return stream.position;
  }
}
