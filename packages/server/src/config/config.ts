import type { CasilSettings, Role } from '@arqonbus/protocol';

export type StorageBackend = 'memory' | 'sqlite' | 'redis' | 'valkey' | 'redis_streams' | 'valkey_streams' | 'postgres';

/** A listening port; `off` disables the listener. 0 uses any free port. */
export type Port = number | 'off';

/**
 * The whole configuration, validated once and frozen (see `settings.ts` for names, defaults and limits). Each part of
 * the server receives only the section it needs.
 */
export interface Config {
  readonly environment: 'dev' | 'staging' | 'prod';
  readonly server: {
    readonly host: string;
    readonly port: number;
    /** Name of this node in a cluster; generated at start if empty. */
    readonly nodeId: string;
    /** Processes that share the ports; 0: one per core. */
    readonly workers: number;
    readonly maxConnections: number;
    /** 0: no separate limit. */
    readonly maxConnectionsPerAddress: number;
    /** 0: no separate limit. */
    readonly maxConnectionsPerSubject: number;
    readonly maxMessageSize: number;
    readonly maxBacklogBytes: number;
    /** 0: 85 % of the heap limit. */
    readonly maxMemoryBytes: number;
    readonly compression: boolean;
    /** Time over which a stopping server disconnects its clients; 0: all at once. */
    readonly drainSeconds: number;
    readonly strictEnvelope: boolean;
    readonly pingIntervalSeconds: number;
    readonly shutdownSeconds: number;
    readonly allowedOrigins: readonly string[];
    readonly allowedHosts: readonly string[];
    readonly behindTlsProxy: boolean;
    /** Empty: no TLS. Set both or neither. */
    readonly tlsCertFile: string;
    readonly tlsKeyFile: string;
  };
  readonly bus: {
    readonly autoCreateChannels: boolean;
    readonly channelIdleSeconds: number;
    readonly presenceGraceSeconds: number;
    readonly maxHops: number;
    readonly publishRequiresJoin: boolean;
    /** Room → its built-in channels. */
    readonly bootstrapRooms: Readonly<Record<string, readonly string[]>>;
    readonly maxSubscriptions: number;
    readonly maxChannels: number;
    /** Channels that one subject may create by publishing or joining. */
    readonly maxChannelsPerSubject: number;
    /** Maximum groups of one tenant. */
    readonly maxGroups: number;
    /** Maximum groups created by one subject. */
    readonly maxGroupsPerSubject: number;
    /** Messages per second and connection, including commands; 0: no limit. */
    readonly rateLimitPerSecond: number;
    /** At least one if there is a limit; default: one second's worth. */
    readonly rateLimitBurst: number;
    readonly statsIntervalSeconds: number;
  };
  /** Channel rules for every tenant, unparsed: the bus parses them. */
  readonly rules: readonly unknown[];
  readonly auth: {
    readonly enabled: boolean;
    readonly jwtSecret: string;
    readonly jwtAlgorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA';
    readonly jwksUrl: string;
    readonly publicKeyFile: string;
    readonly issuer: string;
    readonly audience: string;
    /** Name of the cookie that may hold a token; empty: none. */
    readonly cookie: string;
    /** Role without authentication; empty: `admin` if every listener is on loopback, else `user`. */
    readonly anonymousRole: Role | '';
    /** Messages per second of one subject over all its connections; 0: no limit. */
    readonly subjectRateLimitPerSecond: number;
  };
  /** HTTP hooks; channel rules name further ones. */
  readonly hooks: {
    /** Empty: no hook for connections. */
    readonly connectUrl: string;
    readonly connectOnFailure: 'deny' | 'allow';
    /** Signs the requests of hooks whose rule has no secret; empty: they are not signed. */
    readonly secret: string;
    readonly timeoutMs: number;
  };
  readonly storage: {
    readonly backend: StorageBackend;
    readonly mode: 'degraded' | 'strict';
    readonly maxHistorySize: number;
    readonly historyTtlSeconds: number;
    /** Per channel; also per tenant and per process on the memory backend (0: a quarter of the heap). */
    readonly maxHistoryBytes: number;
    readonly maxHistoryBytesPerTenant: number;
    readonly maxHistoryBytesTotal: number;
    readonly sqlitePath: string;
    readonly redisUrl: string;
    readonly redisWaitReplicas: number;
    readonly redisWaitFsync: boolean;
    readonly redisWaitMs: number;
    readonly valkeyUrl: string;
    readonly postgresUrl: string;
    /** The PostgreSQL server without its pooler; empty if there is no pooler. */
    readonly postgresListenUrl: string;
  };
  readonly telemetry: {
    readonly enabled: boolean;
    /** Default: the bus's host; never empty. */
    readonly host: string;
    readonly port: Port;
    readonly room: string;
    /** Fraction of routed messages that emit a `message_routed` event, 0 to 1. */
    readonly messageSampleRate: number;
    readonly bufferSize: number;
  };
  readonly http: {
    /** Default: the bus's host; never empty. */
    readonly host: string;
    readonly port: Port;
    readonly apiKey: string;
    readonly corsOrigins: readonly string[];
    readonly metricsAuth: boolean;
    /** Whether `/` serves the dashboard. */
    readonly dashboard: boolean;
  };
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' };
  /** The snake_case names of `op.casil.reload`; the file uses camelCase as in every other section. */
  readonly casil: Readonly<CasilSettings>;
  readonly webhook: {
    /** Host names and globs that are allowed although they resolve to special addresses. */
    readonly allowHosts: readonly string[];
    readonly maxRules: number;
    readonly maxRulesPerSubject: number;
    readonly maxPostsPerHost: number;
    readonly maxAttempts: number;
  };
  readonly cron: { readonly maxJobs: number; readonly maxJobsPerSubject: number };
  readonly store: {
    readonly maxKeys: number;
    readonly maxBytes: number;
    readonly maxKeysPerSubject: number;
    readonly maxBytesPerSubject: number;
    readonly maxValueBytes: number;
  };
  readonly lease: { readonly maxKeys: number; readonly maxKeysPerSubject: number };
  readonly omega: {
    readonly enabled: boolean;
    readonly labRoom: string;
    readonly labChannel: string;
    readonly maxEvents: number;
    readonly maxSubstrates: number;
  };
}
