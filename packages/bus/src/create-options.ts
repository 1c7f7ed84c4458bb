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

/** Who connects, as the hook `authenticate` tells: what is missing is a user of the default tenant without limits. */
export interface GivenPrincipal extends Partial<Omit<Principal, 'grants'>> {
  /** Globs of what it may do; without it everything that the role allows. */
  readonly grants?: GrantLists | null;
}

export interface BusHooks {
  /**
   * What every event and private message passes, in this order, before it is stored: functions that return what may
   * travel on or throw a `BusError`, and at most one content policy, such as `casil()` of `@arqonbus/casil`.
   */
  readonly publish?: readonly (PublishHook | Inspector)[];
  /**
   * Told when a client has become a member of a channel, a room (`*`) or a pattern; nothing waits for it, and what it
   * throws goes to `onFault`.
   */
  readonly joined?: MembershipHook;
  /** The same when a client is a member no more: it left, was sent away, or its connection ended. */
  readonly left?: MembershipHook;
  /** Backends that are asked over HTTP; rules name those of channels. */
  readonly http?: HttpHookOptions;
}

/** The families of op.* commands, with their limits. `false` leaves one out. */
export interface OperatorOptions {
  readonly store?: StoreLimits | false;
  readonly lease?: LeaseLimits | false;
  readonly cron?: CronOptions | false;
  readonly webhook?: WebhookOptions | false;
  readonly omega?: OmegaOptions | false;
}

export interface CreateBusOptions {
  /** Where streams live; in this process's memory unless given. The bus opens and closes it. */
  readonly engine?: Engine;
  /**
   * Says who a connecting client is; throws a `BusError` `AUTHENTICATION_FAILED` to refuse it (401). Without it everybody is the anonymous
   * user.
   */
  readonly authenticate?: (request: IncomingMessage) => Awaitable<GivenPrincipal>;
  /** Says who the bearer of a token is that a connection renews itself with (`refresh_token`). */
  readonly refresh?: (token: string) => Awaitable<GivenPrincipal>;
  /** A second opinion on what role and grants allow; false refuses. */
  readonly authorize?: Authorize;
  readonly hooks?: BusHooks;
  /** Rules of channels (RULES 1) that hold in every tenant; `op.rules.set` puts a tenant's own over them. */
  readonly rules?: readonly Rule[];
  /** Bounds and behaviour; see `BusOptions` for each with its default. */
  readonly limits?: Partial<BusOptions>;
  readonly operators?: OperatorOptions;
  /** Commands of the program's own, beside those of the protocol. */
  readonly commands?: (bus: Core) => readonly AnyCommand[];
  /** Go on without stored rules, jobs and channels while the storage is away, and take them up when it is back. */
  readonly startDegraded?: boolean;
  /** Told of faults that no client can be told of; standard error, unless given. */
  readonly onFault?: (error: unknown) => void;
}

/** An unknown key is refused. What the wire calls `options` stands beside the rest (docs/protocol.md, "Options"). */
export interface PublishOptions extends SendOptions {
  /** In whose name: what envelopes say in `from` is `app:NAME`. Without it the bus itself says it. */
  readonly as?: string;
  readonly tenant?: string;
  /**
   * Makes sending again harmless: the same id of the same name to the same channel is stored and delivered once within
   * 120 s. `arq_` and 1-124 letters, digits, "_" or "-"; without it a fresh one.
   */
  readonly id?: string;
  readonly metadata?: Metadata;
}

/** Where an event was stored; of one for later, which job keeps it, and until when. */
export interface PublishResult extends Published {
  readonly jobId?: string;
  /** RFC 3339. */
  readonly deliverAt?: string;
}

export interface AttachOptions {
  /** The path of WebSocket upgrades; every other one is left to whoever else listens. Without it all are taken. */
  readonly path?: string;
  /** Origins and hosts that may connect from a browser beside the server's own (PROTOCOL section 1). */
  readonly allowedOrigins?: readonly string[];
  readonly allowedHosts?: readonly string[];
  /** Whether only this machine reaches the server; true unless said otherwise. */
  readonly onLoopback?: boolean;
  /** Decides who comes in at this server instead of all of the above and the hook `authenticate`. */
  readonly gate?: Gate;
}

/** An attached server: how many connections came through it, and the way to leave it. */
export interface Attached {
  readonly connections: number;
  readonly refusals: ReadonlyMap<number, number>;
  /**
   * Counts a connection of another transport with its own, against the same limits, until its socket is gone; answers
   * why not when there is no room for it, and then counts nothing.
   */
  hold(socket: Duplex, address: string, principal: Principal): HeldRefusal | null;
  /** Takes this many connections from now on; those that are there stay. */
  adjust(limits: { readonly maxConnections: number }): void;
  /** Resolves when all connections that came through it are gone. */
  empty(): Promise<void>;
  /** Cuts the connections that are left. */
  destroy(): void;
  /** Stops taking upgrades; connections stay. */
  detach(): void;
}
