/// <reference lib="esnext.disposable" preserve="true" />
import {
  type CommandArgs,
  type CommandName,
  type CommandResult,
  isChannelPattern,
  type JoinResult,
  type JsonObject,
  newId,
  type Welcome,
} from '@arqonbus/protocol';
import { openSocket } from '#socket';
import { type AddressInput, isAddress, mailbox, readSource } from './address.ts';
import { CommandCaller } from './commands.ts';
import { ArqonBusError, invalidArgument } from './errors.ts';
import { openerFor } from './fallback.ts';
import { type Feature, hasFeature, requireFeatures } from './features.ts';
import type { GroupOptions, GroupSubscription } from './group-subscription.ts';
import { type HistoryPage, type HistoryWaitOptions, waitForHistory } from './history.ts';
import type { Leases } from './leases.ts';
import type { ConnectionState, ConnectOptions } from './link.ts';
import type { JoinOptions } from './membership.ts';
import type { Message } from './message.ts';
import { type ClientOptions, given, readOptions } from './options.ts';
import type { Ack, PrivateAck, PublishOptions, SendOptions, Sent } from './outgoing.ts';
import * as outgoing from './outgoing.ts';
import type { WaitOptions } from './pending.ts';
import type { PresenceOptions, PresenceSet } from './presence.ts';
import type { AskAnything, Outgoing } from './queue.ts';
import {
  isRequest,
  MAX_REQUEST_MS,
  type RequestHandler,
  type RequestOptions,
  type ServeOptions,
  type Target,
} from './request.ts';
import { type ClientEvents, Session } from './session.ts';
import { Store } from './store.ts';
import { readText, type StreamPlace } from './stream-reader.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';
import { openStream, type StreamHost, type StreamOptions, streamHost, type TokenStream } from './token-stream.ts';

/** The default group of responders. */
const DEFAULT_GROUP = 'serve';

/**
 * A client of an ArqonBus server. It reconnects after a lost connection, subscriptions resume
 * where they were, and messages without an ack are sent again.
 *
 * ```ts
 * const client = new ArqonBusClient({ url: 'ws://127.0.0.1:9100', screenName: 'Ada' });
 * await client.connect();
 * await client.publish('science:explore', { text: 'Hello, bus!' });
 * ```
 */
export class ArqonBusClient extends CommandCaller<ClientEvents> {
  /**
   * The key-value store shared by the clients of a tenant.
   *
   * ```ts
   * await client.store.set('job/1', { state: 'running' });
   * ```
   */
  readonly store: Store;
  /**
   * Exclusive leases on keys, renewed until they are released.
   *
   * ```ts
   * await using lease = await client.leases.acquire('printer/3', { waitMs: 10_000 });
   * ```
   */
  readonly leases: Leases;
  readonly #session: Session;

  /**
   * Does not connect; see {@link ArqonBusClient.connect}. Throws `INVALID_ARGUMENT`.
   *
   * ```ts
   * const client = new ArqonBusClient({ url: ['wss://a.example.org', 'wss://b.example.org'], token: freshToken });
   * ```
   */
  constructor(options: ClientOptions) {
    super((error, event) => this.#report(error, event === 'error'));
    const settings = readOptions(options);
    this.#session = new Session(settings, options.socket ?? openerFor(settings, openSocket), {
      emit: (event, value) => this.emit(event, value),
      report: (error) => this.#report(error, false),
    });
    this.leases = this.#session.leases;
    this.store = new Store((name, args, ask) => this.#session.run(name, args, ask), this.#session.watches);
  }

  /**
   * The state of the connection, from `idle` to `closed`.
   *
   * ```ts
   * if (client.state === 'reconnecting') showBanner();
   * ```
   */
  get state(): ConnectionState {
    return this.#session.link.state;
  }

  /**
   * Client id on the current connection; every connection has a new one. Undefined before the first.
   *
   * ```ts
   * await other.send(client.id as string, { text: 'to that connection alone' });
   * ```
   */
  get id(): string | undefined {
    return this.welcome?.client_id;
  }

  /**
   * The last welcome: role, tenant, server version, limits.
   *
   * ```ts
   * console.log(client.welcome?.role, client.welcome?.limits.max_message_bytes);
   * ```
   */
  get welcome(): Welcome | undefined {
    return this.#session.link.welcome;
  }

  /**
   * Unsent messages, because the client is disconnected or the server limits the rate.
   *
   * ```ts
   * console.log(client.queued.messages, client.queued.bytes);
   * ```
   */
  get queued(): { messages: number; bytes: number } {
    return this.#session.queue.held;
  }

  /**
   * Connects, or waits for the connection in progress. Rejects with ConnectionError when no address of the bus
   * can be reached or one refuses (unless `retry`), TimeoutError, or the signal's reason.
   *
   * ```ts
   * const { role } = await client.connect({ timeoutMs: 5_000 });
   * ```
   */
  connect({ retry = false, ...wait }: ConnectOptions = {}): Promise<Welcome> {
    return this.#session.link.connect(wait, retry);
  }

  /**
   * Closes the client permanently: pending calls reject with `CLOSED`, iterations end. May be called at any time,
   * also from within a listener.
   *
   * ```ts
   * await client.close();
   * ```
   */
  close(): Promise<void> {
    return this.#session.close();
  }

  /**
   * Closes the client without losing work in progress: leaves all channels, waits until handlers and loops have
   * processed what had arrived and until everything sent is answered, then closes. Rejects with TimeoutError if that
   * takes longer than `timeoutMs` (default: the client's), or with the signal's reason; the client is closed then too.
   *
   * ```ts
   * process.once('SIGTERM', () => client.drain({ timeoutMs: 5_000 }));
   * ```
   */
  drain(wait: WaitOptions = {}): Promise<void> {
    return this.#session.drain(wait);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Subscribes to a channel (`room:channel`) or a whole room (`room`, `room:*`), across reconnects, without gaps or
   * duplicates while the server's history has the missed events. Otherwise it emits `reset`.
   *
   * ```ts
   * for await (const { payload } of await client.subscribe<{ text: string }>('science:explore')) {
   *   console.log(payload.text);
   * }
   * ```
   */
  subscribe<P = JsonObject>(at: AddressInput, options: GroupOptions<P>): Promise<GroupSubscription<P>>;
  subscribe<P = JsonObject>(at: AddressInput, options?: SubscribeOptions<P>): Promise<Subscription<P>>;
  async subscribe<P = JsonObject>(
    at: AddressInput,
    options: SubscribeOptions<P> | GroupOptions<P> = {},
  ): Promise<Subscription<P> | GroupSubscription<P>> {
    const place = readSource(at);
    if (isChannelPattern(place.channel)) this.#require('patterns');
    if (!('group' in options)) return this.#session.subscriptions.subscribe(at, options);
    this.#require('groups');
    return this.#session.groups.subscribe(place, options);
  }

  /**
   * Receives the mail of this client's subject, `@NAME`, as a group: each message is handled once, by whichever of the
   * subject's connections takes it.
   *
   * ```ts
   * for await (const { payload, sender } of await client.mailbox()) console.log(sender?.subject, payload);
   * ```
   *
   * @param options `subject` is needed only if neither the token nor the address contains it
   */
  async mailbox<P = JsonObject>(
    options: Partial<GroupOptions<P>> & { subject?: string } = {},
  ): Promise<GroupSubscription<P>> {
    this.#require('mailboxes', 'groups');
    const { subject = await this.#session.subject(), ...rest } = options;
    if (subject === undefined) {
      throw invalidArgument('This client has no subject: connect with a token, or name it as "subject".');
    }
    return this.#session.groups.subscribe(mailbox(subject), { group: 'inbox', ...rest });
  }

  /**
   * Joins with presence: lists the members, and publishes a state of this client.
   *
   * ```ts
   * const people = await client.presence('science:explore', { state: { mood: 'busy' } });
   * people.on('joined', ({ sender }) => console.log(`${sender.name} is here`));
   * ```
   */
  async presence(at: AddressInput, options: PresenceOptions = {}): Promise<PresenceSet> {
    this.#require('presence-state');
    return this.#session.subscriptions.watch(at, options);
  }

  /**
   * Waits for messages after `since`, without joining. Resolves with them and the next position, and with no
   * messages if none arrived within `timeoutMs` (default 30,000).
   *
   * ```ts
   * const { messages, position } = await client.wait('science:explore', { since, timeoutMs: 50_000 });
   * ```
   */
  async wait<P = JsonObject>(at: AddressInput, options: HistoryWaitOptions = {}): Promise<HistoryPage<P>> {
    this.#require('wait');
    const { clock, timeoutMs } = this.#session.settings;
    return waitForHistory<P>(this.#askAnything, at, options, timeoutMs, () => clock.now());
  }

  /**
   * Joins without a subscription: messages arrive with the event `event`. Renewed after a reconnect.
   *
   * ```ts
   * const { members } = await client.join('science:explore');
   * ```
   */
  async join(at: AddressInput, options: JoinOptions & WaitOptions = {}): Promise<JoinResult> {
    const { result } = await this.#session.subscriptions.subscribe(at, { ...options, onMessage: () => {} });
    return result as JoinResult;
  }

  /**
   * Ends every subscription at an address and leaves it. Resolves with whether this client was a member.
   *
   * ```ts
   * await client.leave('science:explore');
   * ```
   */
  async leave(at: AddressInput, wait?: WaitOptions): Promise<boolean> {
    const place = this.#session.subscriptions.end(at);
    return (await this.run('leave_channel', place, wait)).left;
  }

  /**
   * Publishes an event to a channel, or to a whole room. Resolves when the server has stored it and sent it on. With
   * `ack: false` it resolves when the message is sent and the socket can take more, and a refusal arrives as an `error`
   * event. Rejects with RefusedError, TimeoutError, QueueFullError or ConnectionError.
   *
   * ```ts
   * const { sequence, stored } = await client.publish('science:explore', { text: 'hi' });
   * ```
   */
  publish<P extends object>(at: AddressInput, payload: P, options: PublishOptions & { ack: false }): Promise<Sent>;
  publish<P extends object>(at: AddressInput, payload: P, options?: PublishOptions & { ack?: true }): Promise<Ack>;
  publish<P extends object>(at: AddressInput, payload: P, options?: PublishOptions): Promise<Sent | Ack>;
  async publish(at: AddressInput, payload: object, options: PublishOptions = {}): Promise<Sent> {
    return this.#session.post(outgoing.event(at, payload, options), options);
  }

  /**
   * Sends a private message to clients by id, or to all connections of a subject (`sub:SUBJECT`). Rejects with
   * `TARGET_NOT_FOUND` when none of them is connected.
   *
   * ```ts
   * const { undelivered } = await client.send(['arq_client_1', 'sub:ada'], { text: 'psst' });
   * ```
   */
  send(to: Target, payload: object, options: SendOptions & { ack: false }): Promise<Sent>;
  send(to: Target, payload: object, options?: SendOptions & { ack?: true }): Promise<PrivateAck>;
  send(to: Target, payload: object, options?: SendOptions): Promise<Sent | PrivateAck>;
  async send(to: Target, payload: object, options: SendOptions = {}): Promise<Sent> {
    return this.#session.post(outgoing.privately(to, payload, options), options);
  }

  /**
   * Submits a telemetry event; without `at` the server routes it to its telemetry room.
   *
   * ```ts
   * await client.telemetry('build_finished', { ok: true });
   * ```
   */
  async telemetry(type: string, payload: object, options: PublishOptions & { at?: AddressInput } = {}): Promise<Sent> {
    return this.#session.post(outgoing.telemetry(type, payload, options), options);
  }

  /**
   * Sends a request and resolves with the first reply. For an address (`room:channel`) it goes to one of its
   * responders; otherwise it is a private message. Rejects with RequestError if the responder reports a failure, with
   * NoRespondersError if there is none, and with `CONNECTION_LOST`, because the reply would go to a closed connection.
   *
   * ```ts
   * const { payload } = await client.request<{ sum: number }>('math:add', { numbers: [1, 2] }, { timeoutMs: 2_000 });
   * ```
   */
  async request<R = JsonObject>(
    to: Target | AddressInput,
    payload: object,
    options: RequestOptions = {},
  ): Promise<Message<R>> {
    const { id = newId(), signal, timeoutMs = this.#session.settings.timeoutMs, group, ephemeral } = options;
    const request = { timeoutMs: Math.min(timeoutMs, MAX_REQUEST_MS), group: group ?? DEFAULT_GROUP };
    let envelope: Outgoing;
    if (isAddress(to)) {
      envelope = outgoing.event(to, payload, { ...given({ metadata: options.metadata, ephemeral }), id, request });
    } else {
      // An older server only passes on the client's own marker.
      const metadata = { ...options.metadata, request: true };
      const asked = hasFeature(this.welcome, 'requests') ? { request: { timeoutMs: request.timeoutMs } } : {};
      envelope = outgoing.privately(to, payload, { id, metadata, ...asked });
    }
    const send = (withdrawn: AbortSignal): Promise<unknown> =>
      this.#session.post(envelope, { signal: withdrawn, timeoutMs: Infinity }, false);
    return this.#session.requests.ask(id, { signal, timeoutMs }, send) as Promise<Message<R>>;
  }

  /**
   * Answers requests: those to this client, with a single handler, or those to an address, as a member of the
   * group `serve`. Returns a function that removes the handler, or the subscription.
   *
   * ```ts
   * const serving = await client.onRequest<{ a: number; b: number }>('math:add', ({ a, b }) => ({ sum: a + b }));
   * ```
   */
  onRequest<P = JsonObject, R extends object = JsonObject>(handler: RequestHandler<P, R>): () => void;
  onRequest<P = JsonObject, R extends object = JsonObject>(
    at: AddressInput,
    handler: RequestHandler<P, R>,
    options?: ServeOptions,
  ): Promise<GroupSubscription<P>>;
  onRequest<P, R extends object>(
    at: AddressInput | RequestHandler<P, R>,
    handler?: RequestHandler<P, R>,
    options: ServeOptions = {},
  ): (() => void) | Promise<GroupSubscription<P>> {
    if (typeof at === 'function') return this.#session.requests.handle(at);
    return this.#serve(at, handler as RequestHandler<P, R>, options);
  }

  /**
   * Opens a token stream: a text that readers see while it grows, stored as one event of the channel at the end.
   *
   * ```ts
   * const stream = await client.openStream('talk:answers');
   * for await (const token of model) await stream.append(token);
   * await stream.close();
   * ```
   */
  async openStream(at: AddressInput, options: StreamOptions = {}): Promise<TokenStream> {
    this.#require('streams');
    return openStream(this.#streams, readSource(at), options);
  }

  /**
   * Reads a token stream: yields its text from the beginning as it grows, across reconnects. Ends when it is complete
   * or cancelled, and throws StreamError when it failed or lost its writer. Without room and channel it must be open.
   *
   * ```ts
   * for await (const text of client.readStream({ room: 'talk', channel: 'answers', id })) process.stdout.write(text);
   * ```
   */
  readStream(stream: string | StreamPlace): AsyncGenerator<string, void, undefined> {
    this.#require('streams');
    return readText(this.#streams, stream);
  }

  /**
   * Replies to a private message from the event `private`.
   *
   * ```ts
   * client.on('private', (message) => void client.reply(message, { got: 'it' }));
   * ```
   */
  async reply(message: Pick<Message, 'id' | 'from'>, payload: object, options: SendOptions = {}): Promise<Sent> {
    const answer = { ...options, requestId: message.id };
    return this.#session.post(outgoing.privately(message.from, payload, answer), options);
  }

  /**
   * Sends a raw frame on the open connection. Its answer, if any, arrives with the event `frame`. Rejects
   * with `NOT_CONNECTED` if there is no connection.
   *
   * ```ts
   * client.on('frame', ({ text }) => console.log(text));
   * await client.sendJson({ version: '1.0', id: 'arq_mine', type: 'command', command: 'ping', args: {} });
   * ```
   */
  async sendJson(frame: object): Promise<void> {
    this.#session.sendFrame(JSON.stringify(frame));
  }

  /**
   * Renews the token of this connection: with the given one, or with a new one from the token function. With a token
   * function, the client renews automatically when the server announces the expiry.
   *
   * ```ts
   * const { expires_at } = await client.refreshToken(token);
   * ```
   */
  refreshToken(token?: string): Promise<CommandResult<'refresh_token'>> {
    return this.#session.refreshToken(token);
  }

  protected override run<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    wait: WaitOptions = {},
  ): Promise<CommandResult<N>> {
    return this.#session.run(name, args, wait);
  }

  async #serve<P, R extends object>(
    at: AddressInput,
    handler: RequestHandler<P, R>,
    { group = DEFAULT_GROUP, prefetch = 16, ...wait }: ServeOptions,
  ): Promise<GroupSubscription<P>> {
    this.#require('groups', 'requests');
    const { requests, groups } = this.#session;
    const onMessage = async (message: Message<P>): Promise<void> => {
      // Events that are not requests need no answer.
      if (!isRequest(message.envelope.metadata)) return;
      await requests.serve(message as unknown as Message, handler as unknown as RequestHandler<never, object>);
    };
    return groups.subscribe<P>(readSource(at), { ...wait, group, prefetch, onMessage }, prefetch);
  }

  get #streams(): StreamHost {
    return streamHost(this, (name, args, wait) => this.run(name, args, wait), this.#session.settings.clock);
  }

  get #askAnything(): AskAnything {
    return ((name, args, wait) => this.#session.run(name as 'ping', args, wait as WaitOptions)) as AskAnything;
  }

  #require(...features: Feature[]): void {
    requireFeatures(this.welcome, features);
  }

  #report(error: unknown, isFromErrorListener: boolean): void {
    if (isFromErrorListener) {
      // There is no other listener: surfaces as an uncaught error.
      queueMicrotask(() => {
        throw error;
      });
      return;
    }
    const failed = `A callback failed: ${error}`;
    const told = error instanceof ArqonBusError ? error : new ArqonBusError('LISTENER_FAILED', failed, false, error);
    // Interrupted because the program closed its client: not an error.
    if (told.code === 'CLOSED') return;
    if (this.listens('error')) this.emit('error', told);
    // Errors without a listener must not be silent.
    else console.warn(`[arqonbus] ${told.code}: ${told.message}`);
  }
}
