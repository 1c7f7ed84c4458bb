import type { Authorize } from './access.ts';
import type { Clock } from './clock.ts';
import type { Retention } from './engine/engine.ts';

const MIB = 1_048_576;

/** Bounds of a bus: what one connection, subject, tenant and the process may take (docs/security.md, "Bounds"). */
export interface Limits {
  /** Open connections and handshakes under way; more are answered 503. */
  readonly maxConnections: number;
  /** The same of one address; 0: no limit of its own. */
  readonly maxConnectionsPerAddress: number;
  /** The same of one subject; 0: no limit of its own. */
  readonly maxConnectionsPerSubject: number;
  /** Bytes of one message; larger ones close the connection (1009). */
  readonly maxMessageBytes: number;
  /** Unsent bytes beyond which a connection is a slow consumer (4429). */
  readonly maxBacklogBytes: number;
  /** Memberships of one connection. */
  readonly maxSubscriptions: number;
  /** Channels of one tenant. */
  readonly maxChannels: number;
  /** Channels that one subject may make by publishing or joining. */
  readonly maxChannelsPerSubject: number;
  /** Groups of one tenant. */
  readonly maxGroups: number;
  /** Groups that one subject made. */
  readonly maxGroupsPerSubject: number;
  /** Bytes of heap beyond which nothing new is taken; 0: 85 % of what the heap may grow to. */
  readonly maxMemoryBytes: number;
  /** Waits (`wait_ms`) of one connection, or of one identity over HTTP, at a time. */
  readonly maxWaitsPerClient: number;
  /** The same of the process. */
  readonly maxWaits: number;
  /** Messages that may lead to one another, each caused by the one before, where no rule says otherwise. */
  readonly maxHops: number;
  /** Messages a second of one connection, and how many at once; 0: no limit. */
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  /** Messages a second of all connections of one subject together; 0: no limit of its own. */
  readonly subjectRateLimitPerSecond: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxConnections: 10_000,
  maxConnectionsPerAddress: 0,
  maxConnectionsPerSubject: 0,
  maxMessageBytes: MIB,
  maxBacklogBytes: 8 * MIB,
  maxSubscriptions: 1_000,
  maxChannels: 100_000,
  maxChannelsPerSubject: 1_000,
  maxGroups: 1_000,
  maxGroupsPerSubject: 100,
  maxMemoryBytes: 0,
  maxWaitsPerClient: 16,
  maxWaits: 10_000,
  maxHops: 64,
  rateLimitPerSecond: 0,
  rateLimitBurst: 100,
  subjectRateLimitPerSecond: 0,
};

/** What the bus is told once, at its start. */
export interface BusOptions extends Limits {
  readonly node: string;
  readonly version: string;
  /** What a channel keeps unless it is made with other bounds. */
  readonly retention: Retention;
  /** Rules of channels that hold in every tenant (RULES 1), as they were written; a tenant's own stand over them. */
  readonly rules: readonly unknown[];
  /** Room → its built-in channels; they exist in every tenant. */
  readonly bootstrapRooms: Readonly<Record<string, readonly string[]>>;
  readonly autoCreateChannels: boolean;
  /** After how long without members and traffic a channel that made itself goes, in milliseconds. */
  readonly channelIdleMs: number;
  /** How long a broken line is waited for before whoever watches presence is told, in milliseconds; 0: not at all. */
  readonly presenceGraceMs: number;
  readonly publishRequiresJoin: boolean;
  /** Refuses envelopes with unknown fields, and mends none that lack one. */
  readonly strictEnvelope: boolean;
  readonly pingIntervalMs: number;
  /** Offers per-message compression. */
  readonly compression: boolean;
  readonly telemetryRoom: string;
  /** Whether server events are put on the bus too. */
  readonly telemetry: boolean;
  /** Where events of no tenant go on the bus; null: to operators on the telemetry port alone. */
  readonly serverTenant: string | null;
  /** A second opinion on what role and grants allow. */
  readonly authorize?: Authorize | undefined;
  /** Where this bus answers HTTP, for clients to find in their welcome; null without it. */
  readonly httpUrl: () => string | null;
  readonly now: () => number;
  /** The time of leases and retries; the machine's unless given. */
  readonly clock?: Clock | undefined;
  /** Something failed that no client can be told of. */
  readonly onFault: (error: unknown) => void;
  /** Something about the storage that an operator should change, told again every minute. */
  readonly onWarning?: (sentence: string) => void;
}

/** What may change while the bus runs; the rest is for good. */
export type Adjustable = Omit<Limits, 'maxWaitsPerClient' | 'maxWaits'> &
  Pick<
    BusOptions,
    | 'retention'
    | 'rules'
    | 'autoCreateChannels'
    | 'channelIdleMs'
    | 'presenceGraceMs'
    | 'publishRequiresJoin'
    | 'strictEnvelope'
    | 'compression'
  >;

export const DEFAULT_OPTIONS: Omit<BusOptions, 'node' | 'version' | 'onFault'> = {
  ...DEFAULT_LIMITS,
  retention: { size: 500, ttlMs: 86_400_000, bytes: 16 * MIB },
  rules: [],
  bootstrapRooms: {},
  autoCreateChannels: true,
  channelIdleMs: 300_000,
  presenceGraceMs: 5_000,
  publishRequiresJoin: false,
  strictEnvelope: false,
  pingIntervalMs: 20_000,
  compression: false,
  telemetryRoom: 'integriguard',
  telemetry: false,
  serverTenant: null,
  httpUrl: () => null,
  now: Date.now,
};
