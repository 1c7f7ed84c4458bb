import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Metadata, SendOptions } from '@arqonbus/protocol';
import type { Authorize } from './access.ts';
import type { AnyCommand } from './commands/command.ts';
import type { Core } from './core.ts';
import type { Awaitable, Engine, Published } from './engine/engine.ts';
import type { HttpHookOptions } from './hooks/hooks.ts';
import type { Inspector } from './inspection.ts';
import type { CronOptions } from './operators/cron/cron.ts';
import type { LeaseLimits } from './operators/lease/record.ts';
import type { OmegaOptions } from './operators/omega/omega.ts';
import type { StoreLimits } from './operators/store/space.ts';
import type { WebhookOptions } from './operators/webhook/webhook.ts';
import type { BusOptions } from './options.ts';
import type { GrantLists, Principal } from './principal.ts';
import type { PublishHook } from './publish-hooks.ts';
import type { Rule } from './rules/rule.ts';
import type { MembershipHook } from './subscribe/join.ts';
import type { Gate } from './websocket/gate.ts';
import type { HeldRefusal } from './websocket/handshake.ts';

/** The identity that the `authenticate` hook returns; by default a user of the default tenant without limits. */
export interface GivenPrincipal extends Partial<Omit<Principal, 'grants'>> {
  /** Globs of what it may do; by default everything that the role allows. */
  readonly grants?: GrantLists | null;
}

export interface BusHooks {
  /**
   * Run in this order on every event and private message before it is stored: functions that return the message to send
   * or throw a `BusError`, and at most one content policy, such as `casil()` of `@arqonbus/casil`.
   */
  readonly publish?: readonly (PublishHook | Inspector)[];
  /**
   * Called when a client has become a member of a channel, a room (`*`) or a pattern; nothing waits for it, and errors
   * it throws go to `onFault`.
   */
  readonly joined?: MembershipHook;
  /** Called when a membership ends: the client left, was removed, or its connection closed. */
  readonly left?: MembershipHook;
  /** Backends that are called over HTTP; those of channels are set by rules. */
  readonly http?: HttpHookOptions;
}

/** The families of op.* commands, with their limits. `false` disables one. */
export interface OperatorOptions {
  readonly store?: StoreLimits | false;
  readonly lease?: LeaseLimits | false;
  readonly cron?: CronOptions | false;
  readonly webhook?: WebhookOptions | false;
  readonly omega?: OmegaOptions | false;
}

export interface CreateBusOptions {
  /** Storage for streams; default: in this process's memory. The bus opens and closes it. */
  readonly engine?: Engine;
  /**
   * Returns the identity of a connecting client; throws a `BusError` `AUTHENTICATION_FAILED` to refuse it (401).
   * Without it every client is the anonymous user.
   */
  readonly authenticate?: (request: IncomingMessage) => Awaitable<GivenPrincipal>;
  /** Returns the identity for a token that a connection renews itself with (`refresh_token`). */
  readonly refresh?: (token: string) => Awaitable<GivenPrincipal>;
  /** An additional check on what role and grants allow; false refuses. */
  readonly authorize?: Authorize;
  readonly hooks?: BusHooks;
  /** Channel rules (RULES 1) for every tenant; a tenant's own, set with `op.rules.set`, take precedence. */
  readonly rules?: readonly Rule[];
  /** Limits and behaviour; see `BusOptions` for each option and its default. */
  readonly limits?: Partial<BusOptions>;
  readonly operators?: OperatorOptions;
  /** Additional commands of the program. */
  readonly commands?: (bus: Core) => readonly AnyCommand[];
  /** Start without stored rules, jobs and channels while the storage is unavailable, and load them once it recovers. */
  readonly startDegraded?: boolean;
  /** Called with faults that cannot be reported to a client; default: standard error. */
  readonly onFault?: (error: unknown) => void;
}

/** Unknown keys are refused. The `options` of an envelope are given at the top level (docs/protocol.md, "Options"). */
export interface PublishOptions extends SendOptions {
  /** The sender's name: envelopes have `app:NAME` as `from`. By default the bus itself is the sender. */
  readonly as?: string;
  readonly tenant?: string;
  /**
   * Makes retries safe: an event with the same id, name and channel is stored and delivered once within 120 s. `arq_`
   * and 1-124 letters, digits, "_" or "-"; default: a new one.
   */
  readonly id?: string;
  readonly metadata?: Metadata;
}

/** Where an event was stored; for one scheduled for later, its job and delivery time. */
export interface PublishResult extends Published {
  readonly jobId?: string;
  /** RFC 3339. */
  readonly deliverAt?: string;
}

export interface AttachOptions {
  /** The path of WebSocket upgrades; others are left to other listeners. By default all are accepted. */
  readonly path?: string;
  /** Origins and hosts that browsers may connect from, besides the server's own (PROTOCOL section 1). */
  readonly allowedOrigins?: readonly string[];
  readonly allowedHosts?: readonly string[];
  /** Whether the server is reachable only from this machine; default: true. */
  readonly onLoopback?: boolean;
  /** Decides who may connect at this server, instead of the options above and the `authenticate` hook. */
  readonly gate?: Gate;
}

/** An attached server: its connections, and how to detach it. */
export interface Attached {
  readonly connections: number;
  readonly refusals: ReadonlyMap<number, number>;
  /**
   * Counts a connection of another transport against the same limits, until its socket closes. When the limit is
   * reached, returns why and counts nothing.
   */
  hold(socket: Duplex, address: string, principal: Principal): HeldRefusal | null;
  /** Sets the connection limit; existing connections stay. */
  adjust(limits: { readonly maxConnections: number }): void;
  /** Resolves when all connections of this server have closed. */
  empty(): Promise<void>;
  /** Cuts the remaining connections. */
  destroy(): void;
  /** Stops accepting upgrades; existing connections stay. */
  detach(): void;
}
