import {
  type CommandArgs,
  type CommandName,
  type CommandResult,
  type Envelope,
  type JoinedNotice,
  type JsonObject,
  type MembershipRevokedNotice,
  newId,
  type StoreNotice,
  type Welcome,
} from '@arqonbus/protocol';
import { MAIL_ROOM } from './address.ts';
import { REPEATABLE } from './commands.ts';
import type { Frame } from './connection.ts';
import { ArqonBusError, ConnectionError, closedError, refusal } from './errors.ts';
import { featuresOf, requireFeatures } from './features.ts';
import { Groups } from './groups.ts';
import { Leases } from './leases.ts';
import { type ConnectionState, Link, onWake, type ReconnectInfo } from './link.ts';
import { type Message, toMessage } from './message.ts';
import { dialUrl, type Settings, type WireIdentity } from './options.ts';
import { type Ack, privately, type Sent } from './outgoing.ts';
import { Pending, type WaitOptions } from './pending.ts';
import { type Ask, type AskAnything, type AskOptions, type Outgoing, SendQueue, type SubmitOptions } from './queue.ts';
import { type Receipt, Receipts } from './receipts.ts';
import { Requests } from './request.ts';
import type { OpenSocket } from './socket.ts';
import { Watches } from './store.ts';
import { Subscriptions } from './subscriptions.ts';
import { subjectOf, TokenRenewal } from './token.ts';

/** Remembered client ids of this client's connections, to recognize its own messages in a replay. */
const MAX_OWN_IDS = 1_000;
/** Default remaining lifetime of a token if the server does not report it, milliseconds. */
const TOKEN_NOTICE_MS = 60_000;

/**
 * The value of the event `state`.
 *
 * ```ts
 * client.on('state', ({ state, previous }) => console.log(previous, '→', state));
 * ```
 */
export interface StateChange {
  readonly state: ConnectionState;
  readonly previous: ConnectionState;
}

/**
 * The events of a client.
 *
 * ```ts
 * client.on('notice', ({ payload }) => console.log(payload.event));
 * ```
 */
export interface ClientEvents {
  state: StateChange;
  /** The server's welcome, on every connection. */
  welcome: Welcome;
  /** An attempt failed or the connection was lost; another attempt follows. */
  reconnecting: ReconnectInfo;
  /**
   * Every frame as received, before the client processes it. A listener that returns a promise pauses reading until it
   * settles (Node.js only; browsers keep reading).
   */
  frame: Frame;
  /** Every event as received, before subscriptions put it in order. */
  event: Message;
  telemetry: Message;
  /** Private messages that are neither requests for the handler nor replies. */
  private: Message;
  /** The outcome of a message sent with `receipt`. */
  receipt: Receipt;
  /** `system` envelopes: presence, shutdown, token expiry, created and deleted channels. */
  notice: Envelope;
  /** Errors without a promise to reject: refused messages without ack, failed listeners, the end of the client. */
  error: ArqonBusError;
}

/** How the session reports to the user. */
export interface SessionOutput {
  emit<K extends keyof ClientEvents>(event: K, value: ClientEvents[K]): readonly Promise<unknown>[];
  report(error: unknown): void;
}

/** The implementation behind a client: the link, the queue, and the routing of incoming frames. */
export class Session {
  readonly settings: Settings;
  readonly link: Link;
  readonly queue: SendQueue;
  readonly subscriptions: Subscriptions;
  readonly watches: Watches;
  readonly requests: Requests;
  readonly groups: Groups;
  readonly receipts: Receipts = new Receipts();
  readonly leases: Leases;
  readonly #output: SessionOutput;
  readonly #renewal: TokenRenewal;
  readonly #ownIds = new Set<string>();
  #identity: WireIdentity;
  /** The parts of the identity that are sent again on every new connection. */
  #standing: CommandArgs<'identify'> = {};
  #stopWaking: (() => void) | undefined;

  constructor(settings: Settings, openSocket: OpenSocket, output: SessionOutput) {
    const { clock, identity, clientKey } = settings;
    const { report } = output;
    const ask: Session['run'] = (name, args, options) => this.run(name, args, options);
    this.settings = settings;
    this.#output = output;
    this.#identity = identity;
    this.queue = new SendQueue(settings);
    this.subscriptions = new Subscriptions(settings, ask, (from) => this.#ownIds.has(from), report);
    this.watches = new Watches(clock, ask, report);
    this.groups = new Groups(settings, ask as unknown as AskAnything, report, (envelope) =>
      this.receipts.take(envelope, this.#tellReceipt),
    );
    const askForLease: Ask = async (name, args, options) => {
      requireFeatures(this.link.welcome, ['leases']);
      return this.run(name, args, options);
    };
    this.leases = new Leases(askForLease, clock, settings.timeoutMs, report);
    this.requests = new Requests(
      clock,
      // Not repeatable: the reply would go to the client id of a closed connection.
      (to, payload, fields) => this.post(privately(to, payload, fields), { timeoutMs: Infinity }, false),
      report,
    );
    this.link = new Link(settings, openSocket, {
      url: (address) => dialUrl(address, clientKey, this.#identity),
      state: (state, previous) => this.#become(state, previous),
      frame: (frame) => output.emit('frame', frame),
      resume: (line, welcome) => {
        this.queue.attach(line);
        return this.#resume(welcome);
      },
      open: () => this.queue.open(),
      envelope: (envelope) => this.#receive(envelope),
      lost: (closeCode) => {
        this.#renewal.stop();
        this.subscriptions.lost();
        this.groups.lost();
        this.requests.lost(closeCode);
        this.queue.lost(closeCode);
      },
      reconnecting: (info) => void output.emit('reconnecting', info),
      error: report,
      failed: (error) => this.#finish(error),
    });
    this.#renewal = new TokenRenewal(clock, this.link.tokens, () => this.#renew(), report);
  }

  /** Ends all iterations, rejects pending calls, closes the connection. */
  async close(): Promise<void> {
    this.subscriptions.finish();
    this.groups.finish();
    this.watches.finish();
    this.leases.finish(closedError());
    await this.link.close();
  }

  /** Leaves everything, waits for handlers and answers, then closes; also closes if that fails. */
  async drain({ signal, timeoutMs = this.settings.timeoutMs }: WaitOptions): Promise<void> {
    const done = new Pending<void>(this.settings.clock, signal);
    done.arm(timeoutMs, 'end of what was pending');
    const finish = async (): Promise<void> => {
      await Promise.all([this.subscriptions.drain(), this.groups.drain(), this.requests.idle()]);
      await this.queue.idle();
    };
    if (this.link.state === 'idle' || this.link.state === 'closed') done.resolve();
    else finish().then(done.resolve.bind(done), done.reject.bind(done));
    try {
      await done.promise;
    } finally {
      await this.close();
    }
  }

  /** Sends a command and waits for its answer. */
  async run<N extends CommandName>(
    name: N,
    args: CommandArgs<N>,
    { signal, timeoutMs, restoring, onAnswer }: AskOptions<N> = {},
  ): Promise<CommandResult<N>> {
    const envelope: Outgoing = { id: newId(), type: 'command', command: name, args: args as JsonObject };
    const answer = await this.#submit(envelope, {
      signal,
      timeoutMs,
      restoring,
      repeatable: REPEATABLE.test(name),
      onAnswer: ({ payload }) => {
        if (name === 'identify') {
          this.#identity = payload as WireIdentity;
          this.#standing = lasting(this.#standing, args as CommandArgs<'identify'>);
        }
        onAnswer?.(payload as unknown as CommandResult<N>);
      },
    });
    return answer?.payload as unknown as CommandResult<N>;
  }

  /** Sends a message; resolves with its ack, or without one when it was sent and the socket has room for more. */
  async post(envelope: Outgoing, { signal, timeoutMs }: WaitOptions, repeatable = true): Promise<Sent> {
    requireFeatures(this.link.welcome, featuresOf(envelope));
    const { id } = envelope;
    const handled = envelope.options?.receipt === undefined ? undefined : this.receipts.expect(id);
    const answer = await this.#submit(envelope, {
      signal,
      timeoutMs,
      repeatable,
      onAnswer: ({ payload }) => {
        const { sequence = 0, epoch } = payload as Partial<Ack>;
        if (sequence > 0 && epoch !== undefined) this.subscriptions.own({ sequence, epoch });
      },
    }).catch((error: unknown) => {
      this.receipts.forget(id, error);
      throw error;
    });
    if (answer === undefined) await this.link.connection?.drained();
    const { oldest_ms: oldestMs, ...payload } = answer?.payload ?? {};
    return { ...payload, ...(oldestMs !== undefined && { oldestMs }), id, ...(handled && { handled }) };
  }

  /** The subject of this client, from the welcome, the token or the URL. */
  async subject(): Promise<string | undefined> {
    const { welcome, tokens } = this.link;
    const told = (welcome as { subject?: unknown } | undefined)?.subject;
    if (typeof told === 'string') return told;
    const token = await tokens.current();
    if (token !== undefined) return subjectOf(token);
    return new URL(this.settings.urls[0] as string).searchParams.get('subject') ?? undefined;
  }

  /** Sends a frame unchanged and immediately; its answer arrives with the event `frame`. */
  sendFrame(text: string): void {
    const { connection } = this.link;
    if (connection === undefined) throw new ConnectionError('NOT_CONNECTED', 'There is no open line.', true);
    connection.send(text);
  }

  /** Renews the token of this connection: with the given one, or with a new one from the token function. */
  async refreshToken(token?: string): Promise<CommandResult<'refresh_token'>> {
    const { tokens } = this.link;
    const fresh = token ?? (await tokens.fresh());
    if (fresh === undefined) throw new ArqonBusError('INVALID_ARGUMENT', 'There is no token to renew with.');
    const onAnswer = ({ left }: CommandResult<'refresh_token'>): void => {
      tokens.use(fresh);
      // The scheduled renewal was for the old token. The notice for this one may be the very next frame.
      this.#renewal.stop();
      this.subscriptions.evict(left, new ArqonBusError('AUTHORIZATION_ERROR', NO_LONGER_ALLOWED));
    };
    return this.run('refresh_token', { token: fresh }, { onAnswer });
  }

  /** Renews after the server's notice; false if the function has no other token yet. */
  async #renew(): Promise<boolean> {
    const { tokens } = this.link;
    const [known, fresh] = [await tokens.current(), await tokens.fresh()];
    if (fresh === undefined || fresh === known) return false;
    await this.refreshToken(fresh);
    return true;
  }

  async #submit(envelope: Outgoing, options: SubmitOptions): Promise<Envelope | undefined> {
    const { state } = this.link;
    if (state === 'closed') throw closedError();
    if (state === 'idle') throw new ConnectionError('NOT_CONNECTED', 'Not connected: call connect() first.', true);
    return this.queue.submit(envelope, options);
  }

  #become(state: ConnectionState, previous: ConnectionState): void {
    if (state === 'connecting') this.#stopWaking = onWake(() => this.link.wake());
    if (state === 'idle' || state === 'closed') this.#stopWaking?.();
    this.#output.emit('state', { state, previous });
  }

  #resume(welcome: Welcome): Promise<unknown> {
    this.#ownIds.add(welcome.client_id);
    const [oldest] = this.#ownIds;
    if (this.#ownIds.size > MAX_OWN_IDS) this.#ownIds.delete(oldest as string);
    const restored = Promise.all([
      this.#tellStanding(),
      this.subscriptions.resume(),
      this.groups.resume(),
      this.watches.resume(),
    ]);
    this.#output.emit('welcome', welcome);
    return restored;
  }

  /** Sends the card, and the lasting parts of the state. */
  async #tellStanding(): Promise<void> {
    if (Object.keys(this.#standing).length === 0) return;
    await this.run('identify', this.#standing, { restoring: true }).catch(this.#output.report);
  }

  #receive(envelope: Envelope): void {
    switch (envelope.type) {
      case 'event':
      case 'telemetry':
      case 'private': {
        if (this.groups.take(envelope)) return;
        const message = toMessage(envelope);
        const isMail = envelope.room === MAIL_ROOM && message.position !== undefined;
        if (envelope.type !== 'private' || isMail) this.subscriptions.route(message);
        else if (this.requests.take(message)) return;
        if (!isMail) this.#output.emit(envelope.type, message);
        return;
      }
      case 'system':
        this.#notice(envelope);
        return;
      default: {
        if (this.receipts.take(envelope, this.#tellReceipt) || this.queue.settle(envelope)) return;
        if (envelope.type === 'error') this.#output.report(refusal(envelope));
      }
    }
  }

  readonly #tellReceipt = (receipt: Receipt): void => void this.#output.emit('receipt', receipt);

  #notice(envelope: Envelope): void {
    const { payload } = envelope;
    switch (payload.event) {
      case 'shutdown': {
        const wait = payload.reconnect_after_ms;
        if (typeof wait === 'number') this.link.expectRestart(wait);
        break;
      }
      case 'token_expiring': {
        const left = payload.expires_in_ms;
        this.#renewal.expiring(typeof left === 'number' ? left : TOKEN_NOTICE_MS);
        break;
      }
      case 'store_changed':
        this.watches.receive(payload as unknown as StoreNotice);
        break;
      case 'joined':
        this.subscriptions.adopt(payload as unknown as JoinedNotice);
        break;
      case 'membership_revoked':
        // Notices about a group are handled by the groups.
        if (payload.group === undefined) this.#revoked(payload as unknown as MembershipRevokedNotice);
        break;
    }
    this.#output.emit('notice', envelope);
    if (envelope.room === undefined) return;
    this.subscriptions.notice(envelope);
    this.groups.notice(envelope);
  }

  #revoked({ room, channel, reason }: MembershipRevokedNotice): void {
    const name = `${room}:${channel}`;
    const message = reason === 'grants' ? NO_LONGER_ALLOWED : `The server ended the membership of ${name}: ${reason}.`;
    this.subscriptions.evict([name], new ArqonBusError('AUTHORIZATION_ERROR', message));
  }

  #finish(error: ArqonBusError): void {
    this.#renewal.stop();
    this.queue.fail(error);
    this.requests.fail(error);
    this.subscriptions.finish(error);
    this.groups.finish(error);
    this.receipts.fail(error);
    this.leases.finish(error);
    this.watches.finish(error);
  }
}

const NO_LONGER_ALLOWED = 'The renewed token does not allow this any more.';

/**
 * The parts of the state that are sent again: a state with a time to live shows that its client is working, which a
 * reconnect does not.
 */
function lasting(known: CommandArgs<'identify'>, told: CommandArgs<'identify'>): CommandArgs<'identify'> {
  const { card, state, note, ttl_seconds } = told;
  const isTimed = ttl_seconds !== undefined;
  const all = {
    card: card === undefined ? known.card : card,
    state: isTimed ? undefined : state === undefined ? known.state : state,
    note: isTimed ? undefined : note === undefined ? known.note : note,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null));
}
