import type {
  CommandArgs,
  CommandName,
  CommandResult,
  Envelope,
  JsonObject,
  StoreNotice,
  Welcome,
} from '@arqonbus/protocol';
import { newId } from '@arqonbus/protocol';
import type { AskOptions } from './ask.ts';
import { REPEATABLE } from './commands.ts';
import { ArqonBusError, ConnectionError, closedError, RefusedError } from './errors.ts';
import type { ClientEvents } from './events.ts';
import { type ConnectionState, Link } from './link.ts';
import { toMessage } from './message.ts';
import { dialUrl, type Settings, type WireIdentity } from './options.ts';
import { type Ack, privately, type Sent } from './outgoing.ts';
import type { WaitOptions } from './pending.ts';
import { type Line, type Outgoing, type ParcelOptions, SendQueue } from './queue.ts';
import { Requests } from './request.ts';
import type { OpenSocket } from './socket.ts';
import { Watches } from './store-watch.ts';
import { Subscriptions } from './subscriptions.ts';
import { onWake } from './wake.ts';

/** Connections whose client ids are remembered, to know this client's own messages in a replay. */
const MAX_OWN_IDS = 1_000;

/** How the session speaks to the user. */
export interface SessionOutput {
  emit<K extends keyof ClientEvents>(event: K, value: ClientEvents[K]): void;
  report(error: unknown): void;
}

/** What stands behind a client's methods: the link and the queue, and who gets which of the frames that arrive. */
export class Session {
  readonly settings: Settings;
  readonly link: Link;
  readonly queue: SendQueue;
  readonly subscriptions: Subscriptions;
  readonly watches: Watches;
  readonly requests: Requests;
  readonly #output: SessionOutput;
  readonly #ownIds = new Set<string>();
  #identity: WireIdentity;
  #stopWaking: (() => void) | undefined;

  constructor(settings: Settings, openSocket: OpenSocket, output: SessionOutput) {
    const { clock, identity } = settings;
    const { report } = output;
    const ask: Session['run'] = (name, args, options) => this.run(name, args, options);
    this.settings = settings;
    this.#output = output;
    this.#identity = identity;
    this.queue = new SendQueue(settings);
    this.subscriptions = new Subscriptions(settings, ask, (from) => this.#ownIds.has(from), report);
    this.watches = new Watches(clock, ask, report);
    this.requests = new Requests(
      clock,
      (to, payload, { signal, ...fields }) => {
        // Not repeatable: the reply would go to the client id of a connection that is gone.
        return this.post(privately(to, payload, { ...fields, ack: true }), { signal, timeoutMs: Infinity }, false);
      },
      report,
    );
    this.link = new Link(settings, openSocket, {
      url: () => dialUrl(settings, this.#identity),
      state: (state, previous) => this.#become(state, previous),
      resume: (line, welcome) => this.#resume(line, welcome),
      open: (line) => this.queue.open(line),
      envelope: (envelope) => this.#receive(envelope),
      lost: (closeCode) => {
        this.subscriptions.lost();
        this.requests.lost(closeCode);
        this.queue.lost(closeCode);
      },
      reconnecting: (info) => output.emit('reconnecting', info),
      error: report,
      failed: (error) => this.#finish(error),
    });
  }

  /** Ends all iterations quietly, rejects what is pending, closes the line. */
  async close(): Promise<void> {
    this.subscriptions.finish();
    this.watches.finish();
    await this.link.close();
  }

  /** Sends a command and waits for its answer. */
  async run<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    { signal, timeoutMs, line, onAnswer }: AskOptions<N> = {},
  ): Promise<CommandResult<N>> {
    const envelope: Outgoing = { id: newId(), type: 'command', command: name, args: args as JsonObject };
    const options: ParcelOptions = {
      signal,
      timeoutMs,
      // What restores a connection is asked anew on the next one.
      repeatable: line === undefined && REPEATABLE.test(name),
      onAnswer: ({ payload }) => {
        if (name === 'identify') this.#identity = payload as WireIdentity;
        onAnswer?.(payload as unknown as CommandResult<N>);
      },
    };
    const answer = await this.#submit(envelope, options, line);
    return answer?.payload as unknown as CommandResult<N>;
  }

  /** Sends a message; resolves with its ack, or without one when it has left and the socket has room for more. */
  async post(envelope: Outgoing, { signal, timeoutMs }: WaitOptions, repeatable = true): Promise<Sent> {
    const answer = await this.#submit(envelope, {
      signal,
      timeoutMs,
      repeatable,
      onAnswer: ({ payload }) => {
        const { sequence = 0, epoch } = payload as Partial<Ack>;
        if (sequence > 0 && epoch !== undefined) this.subscriptions.own({ sequence, epoch });
      },
    });
    if (answer === undefined) await this.link.connection?.drained();
    return { ...answer?.payload, id: envelope.id };
  }

  /** Renews the token of this connection: with the given one, or with a fresh one of the token function. */
  async refreshToken(token?: string): Promise<CommandResult<'refresh_token'>> {
    const { tokens } = this.link;
    if (token === undefined) tokens.forget();
    const fresh = token ?? (await tokens.current());
    if (fresh === undefined) throw new ArqonBusError('INVALID_ARGUMENT', 'There is no token to renew with.');
    const result = await this.run('refresh_token', { token: fresh });
    tokens.use(fresh);
    const message = 'The renewed token does not allow this any more.';
    this.subscriptions.evict(result.left, new ArqonBusError('AUTHORIZATION_ERROR', message));
    return result;
  }

  async #submit(envelope: Outgoing, options: ParcelOptions, line?: Line): Promise<Envelope | undefined> {
    const { state } = this.link;
    if (state === 'closed') throw closedError();
    if (state === 'idle') throw new ConnectionError('NOT_CONNECTED', 'Not connected: call connect() first.', true);
    return this.queue.submit(envelope, options, line);
  }

  #become(state: ConnectionState, previous: ConnectionState): void {
    if (state === 'connecting') this.#stopWaking = onWake(() => this.link.wake());
    if (state === 'idle' || state === 'closed') this.#stopWaking?.();
    this.#output.emit('state', { state, previous });
  }

  #resume(line: Line, welcome: Welcome): Promise<unknown> {
    this.#ownIds.add(welcome.client_id);
    const [oldest] = this.#ownIds;
    if (this.#ownIds.size > MAX_OWN_IDS) this.#ownIds.delete(oldest as string);
    this.#output.emit('welcome', welcome);
    return Promise.all([this.subscriptions.resume(line), this.watches.resume(line)]);
  }

  #receive(envelope: Envelope): void {
    switch (envelope.type) {
      case 'event':
      case 'telemetry':
      case 'private': {
        const message = toMessage(envelope);
        if (envelope.type !== 'private') this.subscriptions.route(message);
        else if (this.requests.take(message)) return;
        this.#output.emit(envelope.type, message);
        return;
      }
      case 'system':
        this.#notice(envelope);
        return;
      default:
        if (!this.queue.settle(envelope) && envelope.type === 'error') this.#output.report(new RefusedError(envelope));
    }
  }

  #notice(envelope: Envelope): void {
    const { payload } = envelope;
    switch (payload.event) {
      case 'shutdown': {
        const wait = payload.reconnect_after_ms;
        if (typeof wait === 'number') this.link.expectRestart(wait);
        break;
      }
      case 'token_expiring':
        if (this.link.tokens.renewable) this.refreshToken().catch(this.#output.report);
        break;
      case 'store_changed':
        this.watches.receive(payload as unknown as StoreNotice);
        break;
    }
    this.#output.emit('notice', envelope);
    if (envelope.room !== undefined) this.subscriptions.notice(envelope);
  }

  #finish(error: ArqonBusError): void {
    this.queue.fail(error);
    this.requests.fail(error);
    this.subscriptions.finish(error);
    this.watches.finish(error);
  }
}
