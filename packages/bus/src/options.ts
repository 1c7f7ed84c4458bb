import type { Authorize } from './access.ts';
import type { Clock } from './clock.ts';
import type { Retention } from './engine/engine.ts';

const MIB = 1_048_576;

/** Limits of a bus: per connection, subject, tenant and process (docs/security.md, "Bounds"). */
export interface Limits {
  /** Open connections and pending handshakes; more are answered 503. */
  readonly maxConnections: number;
  /** The same per address; 0: no separate limit. */
  readonly maxConnectionsPerAddress: number;
  /** The same per subject; 0: no separate limit. */
  readonly maxConnectionsPerSubject: number;
  /** Bytes of one message; larger ones close the connection (1009). */
  readonly maxMessageBytes: number;
  /** Unsent bytes beyond which a connection is a slow consumer (4429). */
  readonly maxBacklogBytes: number;
  /** Memberships of one connection. */
  readonly maxSubscriptions: number;
  /** Channels of one tenant. */
  readonly maxChannels: number;
  /** Channels that one subject may create by publishing or joining. */
  readonly maxChannelsPerSubject: number;
  /** Groups of one tenant. */
  readonly maxGroups: number;
  /** Groups created by one subject. */
  readonly maxGroupsPerSubject: number;
  /** Bytes of heap beyond which new work is refused; 0: 85 % of the maximum heap size. */
  readonly maxMemoryBytes: number;
  /** Concurrent waits (`wait_ms`) of one connection, or of one identity over HTTP. */
  readonly maxWaitsPerClient: number;
  /** The same for the process. */
  readonly maxWaits: number;
  /** The longest chain of messages, each caused by the one before, where no rule says otherwise. */
  readonly maxHops: number;
  /** Messages per second of one connection, and the burst size; 0: no limit. */
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  /** Messages per second of all connections of one subject together; 0: no separate limit. */
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

/** The options of a bus. */
export interface BusOptions extends Limits {
  readonly node: string;
  readonly version: string;
  /** Retention of channels without settings of their own. */
  readonly retention: Retention;
  /** Channel rules for every tenant (RULES 1), as written; a tenant's own take precedence. */
  readonly rules: readonly unknown[];
  /** Room → its built-in channels; they exist in every tenant. */
  readonly bootstrapRooms: Readonly<Record<string, readonly string[]>>;
  readonly autoCreateChannels: boolean;
  /** Time without members and traffic after which an automatically created channel is removed, in milliseconds. */
  readonly channelIdleMs: number;
  /** Delay before presence watchers are notified of a lost connection, in milliseconds; 0: none. */
  readonly presenceGraceMs: number;
  readonly publishRequiresJoin: boolean;
  /** Refuses envelopes with unknown fields, and adds no missing ones. */
  readonly strictEnvelope: boolean;
  readonly pingIntervalMs: number;
  /** Offers per-message compression. */
  readonly compression: boolean;
  readonly telemetryRoom: string;
  /** Whether server events are also published on the bus. */
  readonly telemetry: boolean;
  /** The tenant on whose bus events without a tenant are published; null: only on the telemetry port, for operators. */
  readonly serverTenant: string | null;
  /** An additional check on what role and grants allow. */
  readonly authorize?: Authorize | undefined;
  /** The HTTP URL of this bus, for clients' welcome; null without HTTP. */
  readonly httpUrl: () => string | null;
  readonly now: () => number;
  /** The clock of leases and retries; default: the system clock. */
  readonly clock?: Clock | undefined;
  /** Called with faults that cannot be reported to a client. */
  readonly onFault: (error: unknown) => void;
  /** Called with storage problems that an operator should fix, repeated every minute. */
  readonly onWarning?: (sentence: string) => void;
}

/** Options that can be changed while the bus runs. */
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
