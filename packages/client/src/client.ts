/// <reference lib="esnext.disposable" preserve="true" />
import {
  type CommandArgs,
  type CommandName,
  type CommandResult,
  type JoinResult,
  type JsonObject,
  newId,
  type Welcome,
} from '@arqonbus/protocol';
import { openSocket } from '#socket';
import type { AddressInput } from './address.ts';
import { CommandCaller } from './commands.ts';
import { ArqonBusError } from './errors.ts';
import { openerFor } from './fallback.ts';
import type { ConnectionState } from './link.ts';
import type { JoinOptions } from './membership.ts';
import type { Message } from './message.ts';
import { type ClientOptions, readOptions } from './options.ts';
import type { Ack, PrivateAck, PublishOptions, SendOptions, Sent } from './outgoing.ts';
import * as outgoing from './outgoing.ts';
import type { WaitOptions } from './pending.ts';
import type { RequestHandler, Target } from './request.ts';
import { type ClientEvents, Session } from './session.ts';
import { Store } from './store.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';

/**
 * How to connect for the first time.
 *
 * ```ts
 * await client.connect({ retry: true, signal: AbortSignal.timeout(60_000) });
 * ```
 */
export interface ConnectOptions extends WaitOptions {
  /** Keep trying when the bus is not there yet (default false: the first failure rejects). */
  retry?: boolean;
}

/**
 * A client of an ArqonBus server. Once connected it stays connected: a lost line is dialled again, subscriptions go on
 * where they were, and messages whose ack is missing are sent again.
 *
 * ```ts
 * const client = new ArqonBusClient({ url: 'ws://127.0.0.1:9100', screenName: 'Ada' });
 * await client.connect();
 * await client.publish('science:explore', { text: 'Hello, bus!' });
 * ```
 */
export class ArqonBusClient extends CommandCaller<ClientEvents> {
  /**
   * Key–value state that clients of a tenant share.
   *
   * ```ts
   * await client.store.set('job/1', { state: 'running' });
   * ```
   */
  readonly store: Store;
  readonly #session: Session;

  /**
   * Nothing is dialled before {@link ArqonBusClient.connect}. Throws `INVALID_ARGUMENT`.
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
    this.store = new Store((name, args, ask) => this.#session.run(name, args, ask), this.#session.watches);
  }

  /**
   * Where the client stands between `idle` and `closed`.
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
   * The last greeting: role, tenant, server version, limits.
   *
   * ```ts
   * console.log(client.welcome?.role, client.welcome?.limits.max_message_bytes);
   * ```
   */
  get welcome(): Welcome | undefined {
    return this.#session.link.welcome;
  }

  /**
   * What waits to be sent, because the line is away or the server has asked for a pause.
   *
   * ```ts
   * console.log(client.queued.messages, client.queued.bytes);
   * ```
   */
  get queued(): { messages: number; bytes: number } {
    return this.#session.queue.held;
  }

  /**
   * Connects, or waits for the connection that is being made. Rejects with ConnectionError when no address of the bus
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
   * Ends the client for good: what is pending is rejected with `CLOSED`, iterations end. May be called at any time,
   * from within any listener too.
   *
   * ```ts
   * await client.close();
   * ```
   */
  close(): Promise<void> {
    return this.#session.close();
  }

  /**
   * Ends the client without losing what is under way: leaves everything, waits until handlers and loops are done with
   * what had arrived and until everything sent is answered, then closes. Rejects with TimeoutError when that takes
   * longer than `timeoutMs` (default: the client's), or with the signal's reason; the client is closed then too.
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
   * Receives a channel (`room:channel`) or a whole room (`room`, `room:*`), across reconnects: without gaps or
   * duplicates while the server's history keeps what was missed, and told by `reset` when it does not.
   *
   * ```ts
   * for await (const { payload } of await client.subscribe<{ text: string }>('science:explore')) {
   *   console.log(payload.text);
   * }
   * ```
   */
  subscribe<P = JsonObject>(at: AddressInput, options: SubscribeOptions<P> = {}): Promise<Subscription<P>> {
    return this.#session.subscriptions.subscribe(at, options);
  }

  /**
   * Joins without a subscription of its own: messages come with the event `event`. Renewed after a reconnect.
   *
   * ```ts
   * const { members } = await client.join('science:explore');
   * ```
   */
  async join(at: AddressInput, options: JoinOptions & WaitOptions = {}): Promise<JoinResult> {
    const { result } = await this.subscribe(at, { ...options, onMessage: () => {} });
    return result as JoinResult;
  }

  /**
   * Ends every subscription at an address and leaves it; whether this client was a member.
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
   * Sends an event to a channel, or to a whole room. Resolves when the server has stored it and handed it on; with
   * `ack: false` when the message has left and the socket has room for more, and a refusal then comes as an `error`
   * event. Rejects with RefusedError, TimeoutError, QueueFullError or ConnectionError.
   *
   * ```ts
   * const { sequence, stored } = await client.publish('science:explore', { text: 'hi' });
   * ```
   */
  publish(at: AddressInput, payload: object, options: PublishOptions & { ack: false }): Promise<Sent>;
  publish(at: AddressInput, payload: object, options?: PublishOptions & { ack?: true }): Promise<Ack>;
  publish(at: AddressInput, payload: object, options?: PublishOptions): Promise<Sent | Ack>;
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
   * Sends a private message and resolves with the first reply to it. Rejects with RequestError when the other side says
   * that it failed, and with `CONNECTION_LOST`: the reply would go to a connection that is gone.
   *
   * ```ts
   * const { payload } = await client.request<{ sum: number }>('sub:calculator', { numbers: [1, 2] });
   * ```
   */
  request<R = JsonObject>(to: Target, payload: object, options: Omit<PublishOptions, 'ack'> = {}): Promise<Message<R>> {
    const { id = newId(), metadata = {}, signal, timeoutMs = this.#session.settings.timeoutMs } = options;
    return this.#session.requests.ask(to, payload, id, metadata, { signal, timeoutMs }) as Promise<Message<R>>;
  }

  /**
   * Answers requests of other clients; one handler at a time. Returns the way to remove it.
   *
   * ```ts
   * client.onRequest<{ numbers: number[] }>(({ numbers }) => ({ sum: numbers.reduce((a, b) => a + b, 0) }));
   * ```
   */
  onRequest<P = JsonObject, R extends object = JsonObject>(handler: RequestHandler<P, R>): () => void {
    return this.#session.requests.handle(handler);
  }

  /**
   * Replies to a private message that came with the event `private`.
   *
   * ```ts
   * client.on('private', (message) => void client.reply(message, { got: 'it' }));
   * ```
   */
  async reply(message: Message, payload: object, options: SendOptions = {}): Promise<Sent> {
    const answer = { ...options, requestId: message.id };
    return this.#session.post(outgoing.privately(message.from, payload, answer), options);
  }

  /**
   * Sends a frame as it is, on the line that is open now. Its answer, if any, comes with the event `frame`. Rejects
   * with `NOT_CONNECTED` when there is no line.
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
   * Renews the token of this connection: with the given one, or with a fresh one of the token function. The client
   * does so by itself when the server warns of the expiry and there is a function.
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

  #report(error: unknown, isFromErrorListener: boolean): void {
    if (isFromErrorListener) {
      // Nobody is left to tell: it surfaces as an uncaught error.
      queueMicrotask(() => {
        throw error;
      });
      return;
    }
    const told =
      error instanceof ArqonBusError
        ? error
        : new ArqonBusError('LISTENER_FAILED', `A callback failed: ${error}`, false, error);
    // What is cut short because the program closes its client is no loss.
    if (told.code === 'CLOSED') return;
    if (this.listens('error')) this.emit('error', told);
    // A loss that nobody listens for must not pass in silence.
    else console.warn(`[arqonbus] ${told.code}: ${told.message}`);
  }
}
