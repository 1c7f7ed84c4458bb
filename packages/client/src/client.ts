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
import type { ClientEvents } from './events.ts';
import type { ConnectionState } from './link.ts';
import type { JoinOptions } from './membership.ts';
import type { Message } from './message.ts';
import { type ClientOptions, readOptions } from './options.ts';
import type { Ack, PrivateAck, PublishOptions, SendOptions, Sent } from './outgoing.ts';
import * as outgoing from './outgoing.ts';
import type { WaitOptions } from './pending.ts';
import type { RequestHandler, Target } from './request.ts';
import { Session } from './session.ts';
import { Store } from './store.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';

export interface ConnectOptions extends WaitOptions {
  /** Keep trying when the bus is not there yet (default false: the first failure rejects). */
  retry?: boolean;
}

/**
 * A client of an ArqonBus server. Once connected it stays connected: a lost line is dialled again, subscriptions go on
 * where they were, and messages whose ack is missing are sent again.
 */
export class ArqonBusClient extends CommandCaller<ClientEvents> {
  readonly store: Store;
  readonly #session: Session;

  /** Nothing is dialled before {@link ArqonBusClient.connect}. Throws `INVALID_ARGUMENT`. */
  constructor(options: ClientOptions) {
    super((error, event) => this.#report(error, event === 'error'));
    this.#session = new Session(readOptions(options), options.socket ?? openSocket, {
      emit: (event, value) => this.emit(event, value),
      report: (error) => this.#report(error, false),
    });
    this.store = new Store((name, args, ask) => this.#session.run(name, args, ask), this.#session.watches);
  }

  get state(): ConnectionState {
    return this.#session.link.state;
  }

  /** Client id on the current connection; every connection has a new one. Undefined before the first. */
  get id(): string | undefined {
    return this.welcome?.client_id;
  }

  /** The last greeting: role, tenant, server version, limits. */
  get welcome(): Welcome | undefined {
    return this.#session.link.welcome;
  }

  /** What is held for a line that is away. */
  get queued(): { messages: number; bytes: number } {
    return this.#session.queue.held;
  }

  /**
   * Connects, or waits for the connection that is being made. Rejects with ConnectionError when the bus cannot be
   * reached or refuses (unless `retry`), TimeoutError, or the signal's reason.
   */
  connect({ retry = false, ...wait }: ConnectOptions = {}): Promise<Welcome> {
    return this.#session.link.connect(wait, retry);
  }

  /** Ends the client for good: what is pending is rejected with `CLOSED`, iterations end. */
  close(): Promise<void> {
    return this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Receives a channel (`room:channel`) or a whole room (`room`, `room:*`), across reconnects: without gaps or
   * duplicates while the server's history keeps what was missed, and told by `reset` when it does not.
   */
  subscribe<P = JsonObject>(at: AddressInput, options: SubscribeOptions<P> = {}): Promise<Subscription<P>> {
    return this.#session.subscriptions.subscribe(at, options);
  }

  /** Joins without a subscription of its own: messages come with the event `event`. Renewed after a reconnect. */
  async join(at: AddressInput, options: JoinOptions & WaitOptions = {}): Promise<JoinResult> {
    const { result } = await this.subscribe(at, { ...options, onMessage: () => {} });
    return result as JoinResult;
  }

  /** Ends every subscription at an address and leaves it; whether this client was a member. */
  async leave(at: AddressInput, wait?: WaitOptions): Promise<boolean> {
    const place = this.#session.subscriptions.end(at);
    return (await this.run('leave_channel', place, wait)).left;
  }

  /**
   * Sends an event to a channel, or to a whole room. Without `ack` it resolves when the message has left and the socket
   * has room for more; a refusal then comes as an `error` event.
   */
  publish(at: AddressInput, payload: object, options: PublishOptions & { ack: true }): Promise<Ack>;
  publish(at: AddressInput, payload: object, options?: PublishOptions): Promise<Sent>;
  async publish(at: AddressInput, payload: object, options: PublishOptions = {}): Promise<Sent> {
    return this.#session.post(outgoing.event(at, payload, options), options);
  }

  /** Sends a private message to clients by id, or to all connections of a subject (`sub:SUBJECT`). */
  send(to: Target, payload: object, options: SendOptions & { ack: true }): Promise<PrivateAck>;
  send(to: Target, payload: object, options?: SendOptions): Promise<Sent>;
  async send(to: Target, payload: object, options: SendOptions = {}): Promise<Sent> {
    return this.#session.post(outgoing.privately(to, payload, options), options);
  }

  /** Submits a telemetry event; without `at` the server routes it to its telemetry room. */
  async telemetry(type: string, payload: object, options: PublishOptions & { at?: AddressInput } = {}): Promise<Sent> {
    return this.#session.post(outgoing.telemetry(type, payload, options), options);
  }

  /** Sends a private message and resolves with the first reply to it. */
  request<R = JsonObject>(to: Target, payload: object, options: Omit<PublishOptions, 'ack'> = {}): Promise<Message<R>> {
    const { id = newId(), metadata = {}, signal, timeoutMs = this.#session.settings.timeoutMs } = options;
    return this.#session.requests.ask(to, payload, id, metadata, { signal, timeoutMs }) as Promise<Message<R>>;
  }

  /** Answers requests of other clients; one handler at a time. Returns the way to remove it. */
  onRequest<P = JsonObject, R extends object = JsonObject>(handler: RequestHandler<P, R>): () => void {
    return this.#session.requests.handle(handler);
  }

  /** Replies to a private message that came with the event `private`. */
  async reply(message: Message, payload: object, options: SendOptions = {}): Promise<Sent> {
    const answer = { ...options, requestId: message.id };
    return this.#session.post(outgoing.privately(message.from, payload, answer), options);
  }

  /**
   * Renews the token of this connection: with the given one, or with a fresh one of the token function. The client
   * does so by itself when the server warns of the expiry and there is a function.
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
    if (this.listens('error')) this.emit('error', told);
    // A loss that nobody listens for must not pass in silence.
    else console.warn(`[arqonbus] ${told.code}: ${told.message}`);
  }
}
