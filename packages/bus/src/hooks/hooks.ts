import { BusError, type JsonObject, type Metadata, newId } from '@arqonbus/protocol';
import type { Agent } from 'undici';
import { type Clock, systemClock } from '../clock.ts';
import type { Sender } from '../connection/session.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Events } from '../events.ts';
import { guardedAgent, hostTest, type Resolve } from '../outbound/destination.ts';
import { signingKey } from '../outbound/signature.ts';
import { grantsOf, type Principal, principalOf } from '../principal.ts';
import type { ChannelHook, ChannelRules } from '../rules/rules.ts';
import { type AnsweredPrincipal, type HookAnswer, HookFailure } from './answer.ts';
import { Breaker } from './breaker.ts';
import { askOnce } from './exchange.ts';
import { type JoinAnswer, JoinAnswers } from './join-answers.ts';
import { Turns, Waiting, type WaitingBounds } from './turns.ts';

const DEFAULT_TIMEOUT_MS = 500;
/** The most that may wait for all backends together: requests, and UTF-16 units of their texts. */
const WAITING: WaitingBounds = { questions: 10_000, size: 33_554_432 };
/** The most backends whose state is remembered; beyond it idle ones are forgotten. */
const MAX_BACKENDS = 1_000;
/** The minimum limit of an answer, whatever the message limit, in bytes. */
const MIN_ANSWER_BYTES = 65_536;

/** Backends that are called over HTTP before an action. */
export interface HttpHookOptions {
  /** Called for every connection; default: none. */
  readonly connectUrl?: string;
  /** The result for a connection when it does not answer; default: `deny`. */
  readonly connectOnFailure?: 'deny' | 'allow';
  /** Signs requests whose rule has no secret of its own: `whsec_` and base64. */
  readonly secret?: string;
  /** Default timeout of an answer in milliseconds; 500 if not given. */
  readonly timeoutMs?: number;
  /** Special hosts that rules set at run time may address. */
  readonly allowHosts?: readonly string[];
  /** Resolves host names instead of DNS. */
  readonly resolve?: Resolve;
  readonly clock?: Clock;
}

/** The outcome of a request. */
export type HookOutcome = 'allowed' | 'refused' | 'failed' | 'cached';
export type HookKind = 'connect' | 'join' | 'publish';

/** A backend did not answer, and its hook denies in that case. */
export class HookUnanswered extends BusError {
  constructor(kind: HookKind) {
    super('AUTHORIZATION_ERROR', 'The backend that decides about this does not answer; try again later.', {
      hook: kind,
      reason: 'no answer',
    });
  }
}

/** An event as sent to a backend. */
interface Asked {
  readonly id: string;
  readonly room: string | undefined;
  readonly channel: string | undefined;
  readonly payload: JsonObject;
  readonly metadata: Metadata | undefined;
  readonly dry?: boolean;
}

/** A channel, a room (`*`), or a pattern of channels. */
interface Place {
  readonly room: string;
  readonly channel: string;
}

interface Question {
  readonly kind: HookKind;
  readonly id: string;
  readonly tenant: string;
  /** The key for fair queueing. */
  readonly sender: unknown;
  readonly body: JsonObject;
}

/** A parsed request target. */
interface Backend {
  readonly url: URL;
  readonly key: Buffer | null;
  readonly timeoutMs: number;
  readonly onFailure: 'deny' | 'allow';
  readonly isOperators: boolean;
}

/** The state of one backend. */
interface State {
  readonly breaker: Breaker;
  readonly turns: Turns;
}

export interface HooksParts {
  readonly rules: Pick<ChannelRules, 'joinHooks'>;
  readonly events: Events;
  readonly version: string;
  readonly now: () => number;
  readonly limits: {
    /** Bytes of one message. */
    readonly maxMessageBytes: number;
  };
}

/** Calls backends over HTTP to decide who may connect, join and publish (RULES 3 and 4). */
export class HttpHooks {
  private readonly parts: HooksParts;
  private readonly options: HttpHookOptions;
  private readonly clock: Clock;
  /** For URLs set by tenants: only public addresses, and hosts that the operator allows. */
  private readonly guarded: Agent;
  /** For URLs of the operator's configuration. */
  private readonly open: Agent;
  private readonly ownKey: Buffer | null;
  private readonly connecting: Backend | null;
  private readonly waiting = new Waiting(WAITING);
  private readonly states: Map<string, State> = new Map();
  private readonly backends: WeakMap<ChannelHook, Backend> = new WeakMap();
  private readonly answers: JoinAnswers;
  private readonly stopping = new AbortController();
  private readonly counts: Map<string, { readonly labels: { hook: HookKind; outcome: HookOutcome }; value: number }> =
    new Map();

  /** Throws VALIDATION_ERROR for an invalid secret or URL. */
  constructor(parts: HooksParts, options: HttpHookOptions = {}) {
    const { connectUrl = '', connectOnFailure = 'deny', secret = '', allowHosts = [], resolve } = options;
    this.parts = parts;
    this.options = options;
    this.clock = options.clock ?? systemClock(parts.now);
    this.guarded = guardedAgent(hostTest(allowHosts), resolve);
    this.open = guardedAgent(() => true, resolve);
    this.answers = new JoinAnswers(this.clock);
    this.ownKey = secret === '' ? null : signingKey(secret);
    this.connecting =
      connectUrl === ''
        ? null
        : {
            url: new URL(connectUrl),
            key: this.ownKey,
            timeoutMs: this.timeoutMs,
            onFailure: connectOnFailure,
            isOperators: true,
          };
  }

  /** The backend called for connections, if any; only its host, since the rest of the URL may be a secret. */
  get connectBackend(): { readonly host: string; readonly onFailure: 'deny' | 'allow' } | null {
    return this.connecting === null ? null : { host: this.connecting.url.host, onFailure: this.connecting.onFailure };
  }

  /** Requests since the start, by kind and outcome. */
  get outcomes(): Iterable<{ readonly labels: { hook: HookKind; outcome: HookOutcome }; readonly value: number }> {
    return this.counts.values();
  }

  /** Backends whose breaker is open. */
  get openBreakers(): number {
    let count = 0;
    for (const { breaker } of this.states.values()) if (breaker.isOpen) count += 1;
    return count;
  }

  /**
   * Calls the connect backend: returns the given principal, or the backend's version of it. Rejects with a BusError
   * when refused, and with {@link HookUnanswered} when there is no answer.
   */
  connect(principal: Principal, place: Place | undefined): Awaitable<Principal> {
    return this.connecting === null ? principal : this.askConnect(this.connecting, principal, place);
  }

  private async askConnect(backend: Backend, principal: Principal, place: Place | undefined): Promise<Principal> {
    const { tenant, subject, role } = principal;
    const id = newId();
    const { room = null, channel = null } = place ?? {};
    const body = { hook: 'connect', id, tenant, subject, role, client_id: null, room, channel };
    // Each connecting client gets its own queue, since it has no session yet.
    const answer = await this.ask(backend, { kind: 'connect', id, tenant, sender: id, body });
    if (answer?.principal == null) return principal;
    const made = answered(principal, answer.principal);
    // Refuse a principal that would expire at once.
    if (made.expiresAt !== null && made.expiresAt <= this.clock.now()) {
      throw new BusError('AUTHENTICATION_FAILED', 'token expired', { rule: 'hook' });
    }
    return made;
  }

  /**
   * Calls the join hooks of a place, to decide whether the sender may join it, use its groups, or read its history.
   * Rejects with a BusError when refused; synchronous when there is no such hook.
   */
  read(sender: Sender, place: Place): Awaitable<void> {
    const hooks = this.parts.rules.joinHooks(sender.principal.tenant, place.room, place.channel);
    return hooks.length === 0 ? undefined : this.askAll(hooks, sender, place);
  }

  private async askAll(hooks: readonly ChannelHook[], sender: Sender, place: Place): Promise<void> {
    for (const hook of hooks) await this.askJoin(hook, sender, place);
  }

  private async askJoin(hook: ChannelHook, sender: Sender, { room, channel }: Place): Promise<void> {
    const { tenant, subject, role } = sender.principal;
    const { url, cache_seconds: cacheSeconds = 0 } = hook.settings;
    // Without a subject a returning client cannot be recognized.
    const key =
      cacheSeconds === 0 || subject === null ? null : JSON.stringify([tenant, url, role, subject, room, channel]);
    const known = key === null ? undefined : this.answers.get(key, cacheSeconds);
    if (known !== undefined) {
      this.count('join', 'cached');
      if (!known.allow) throw refusalOf(known);
      return;
    }
    const id = newId();
    const body = { hook: 'join', id, tenant, subject, role, client_id: sender.id, room, channel };
    const keep = (answer: HookAnswer): void => {
      if (key !== null) this.answers.set(key, answer);
    };
    await this.ask(this.backendOf(hook), { kind: 'join', id, tenant, sender: senderKey(sender), body }, keep);
  }

  /** Calls the publish hook; returns the event with the backend's changes. Rejects with a BusError when refused. */
  async publish<E extends Asked>(hook: ChannelHook, event: E, sender: Sender): Promise<E> {
    const { tenant, subject, role } = sender.principal;
    const { id, room = null, channel = null, payload, metadata, dry } = event;
    const body = {
      ...{ hook: 'publish', id, tenant, subject, role, client_id: sender.id, room, channel, payload },
      ...(metadata === undefined ? {} : { metadata }),
      ...(dry === true ? { dry } : {}),
    };
    const answer = await this.ask(this.backendOf(hook), {
      kind: 'publish',
      id,
      tenant,
      sender: senderKey(sender),
      body,
    });
    if (answer === null) return event;
    return {
      ...event,
      ...(answer.payload === null ? {} : { payload: answer.payload }),
      ...(answer.tags === null ? {} : { metadata: { ...metadata, tags: answer.tags } }),
    };
  }

  /** Aborts all pending requests. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all([this.guarded.destroy(), this.open.destroy()]);
  }

  /** The allowing answer, or null when there is none and the hook then allows. Rejects when refused. */
  private async ask(
    backend: Backend,
    question: Question,
    keep?: (answer: HookAnswer) => void,
  ): Promise<HookAnswer | null> {
    const { kind } = question;
    let answer: HookAnswer;
    try {
      answer = await this.send(backend, question);
    } catch (error) {
      if (!(error instanceof HookFailure)) throw error;
      this.count(kind, 'failed');
      if (backend.onFailure === 'allow') return null;
      throw new HookUnanswered(kind);
    }
    keep?.(answer);
    this.count(kind, answer.allow ? 'allowed' : 'refused');
    if (!answer.allow) throw refusalOf(answer);
    return answer;
  }

  /** Sends a request in its turn. Rejects with {@link HookFailure}. */
  private send(backend: Backend, { id, kind, tenant, sender, body }: Question): Promise<HookAnswer> {
    const state = this.stateOf(backend, tenant);
    const text = JSON.stringify(body);
    const request = {
      ...{ url: backend.url, key: backend.key, id, body: text, timeoutMs: backend.timeoutMs },
      maxAnswerBytes: Math.max(MIN_ANSWER_BYTES, this.parts.limits.maxMessageBytes),
    };
    const agent = backend.isOperators ? this.open : this.guarded;
    return state.turns.take(sender, text.length, async () => {
      if (this.stopping.signal.aborted || !state.breaker.mayAsk()) throw new HookFailure('the backend is left alone');
      try {
        const userAgent = `ArqonBus/${this.parts.version}`;
        const answer = await askOnce(agent, this.clock, userAgent, request, this.stopping.signal);
        if (state.breaker.succeeded()) this.tell('hook_recovered', backend, tenant, kind);
        return answer;
      } catch (error) {
        if (state.breaker.failed()) this.tell('hook_failing', backend, tenant, kind, error);
        throw error;
      }
    });
  }

  private tell(
    event: 'hook_failing' | 'hook_recovered',
    { url, isOperators, onFailure }: Backend,
    tenant: string,
    hook: HookKind,
    error?: unknown,
  ): void {
    // The path and the query may contain the receiver's secrets.
    const facts = { hook, host: url.host };
    const about = isOperators && hook === 'connect' ? null : tenant;
    if (event === 'hook_recovered') this.parts.events.emit(event, about, facts);
    else {
      const reason = error instanceof Error ? error.message : 'unknown';
      this.parts.events.emit(event, about, { ...facts, error: reason, on_failure: onFailure }, 'error');
    }
  }

  private get timeoutMs(): number {
    return this.options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  private backendOf(hook: ChannelHook): Backend {
    let backend = this.backends.get(hook);
    if (backend === undefined) {
      const { url, secret, timeout_ms: timeoutMs = this.timeoutMs, on_failure: onFailure = 'deny' } = hook.settings;
      const key = secret === undefined ? this.ownKey : signingKey(secret);
      backend = { url: new URL(url), key, timeoutMs, onFailure, isOperators: hook.isOperators };
      this.backends.set(hook, backend);
    }
    return backend;
  }

  /** Keyed by tenant, so that one tenant's rule cannot open another's breaker or use up its turns. */
  private stateOf({ url, isOperators }: Backend, tenant: string): State {
    const key = isOperators ? url.href : `${tenant}\n${url.href}`;
    let state = this.states.get(key);
    if (state === undefined) {
      state = { breaker: new Breaker(this.clock), turns: new Turns(this.waiting) };
      this.forgetIdle();
      this.states.set(key, state);
    }
    return state;
  }

  private forgetIdle(): void {
    if (this.states.size < MAX_BACKENDS) return;
    for (const [key, { turns }] of this.states) if (turns.isIdle) this.states.delete(key);
  }

  private count(hook: HookKind, outcome: HookOutcome): void {
    const key = `${hook} ${outcome}`;
    const known = this.counts.get(key);
    if (known === undefined) this.counts.set(key, { labels: { hook, outcome }, value: 1 });
    else known.value += 1;
  }
}

function senderKey({ session, identity, principal: { tenant } }: Sender): unknown {
  return session ?? `${tenant}\n${identity}`;
}

function refusalOf({ reason, errorCode }: JoinAnswer): BusError {
  return new BusError(errorCode, reason ?? 'The backend that decides about this refuses it.', { rule: 'hook' });
}

/** Applies a backend's changes to a principal. A new tenant, subject or role drops rights beside the grants. */
function answered(principal: Principal, { expiresAt, grants, ...given }: AnsweredPrincipal): Principal {
  const { tenant, subject, role, name = null, tokenId = null, issuedAt = null } = principal;
  const merged = { tenant, subject, role, name, ...given };
  const isSame = merged.tenant === tenant && merged.subject === subject && merged.role === role;
  return principalOf({
    ...(isSame
      ? principal
      : { tokenId, issuedAt, expiresAt: principal.expiresAt, tokenExpiresAt: principal.tokenExpiresAt ?? null }),
    ...merged,
    grants: grants === undefined ? principal.grants : grantsOf(grants),
    ...(expiresAt === undefined ? {} : { expiresAt, tokenExpiresAt: expiresAt }),
  });
}
