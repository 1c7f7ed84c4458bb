import type { CasilSettings, Role } from '@arqonbus/protocol';

export type StorageBackend = 'memory' | 'sqlite' | 'redis' | 'valkey' | 'redis_streams' | 'valkey_streams' | 'postgres';

/** A listening port; `off` for a listener that is not wanted. 0 takes any free port. */
export type Port = number | 'off';

/**
 * The whole configuration, validated once and frozen (see `settings.ts` for names, defaults and bounds). Parts of the
 * server are given the section they need, never the whole.
 */
export interface Config {
  readonly environment: 'dev' | 'staging' | 'prod';
  readonly server: {
    readonly host: string;
    readonly port: number;
    /** Name of this node in a cluster; made up at start when empty. */
    readonly nodeId: string;
    /** Processes that share the ports; 0: one for each core. */
    readonly workers: number;
    readonly maxConnections: number;
    /** 0: no limit of its own. */
    readonly maxConnectionsPerAddress: number;
    /** 0: no limit of its own. */
    readonly maxConnectionsPerSubject: number;
    readonly maxMessageSize: number;
    readonly maxBacklogBytes: number;
    /** 0: 85 % of what the heap may grow to. */
    readonly maxMemoryBytes: number;
    readonly compression: boolean;
    /** Over which time a server that stops sends its clients away; 0: all at once. */
    readonly drainSeconds: number;
    readonly strictEnvelope: boolean;
    readonly pingIntervalSeconds: number;
    readonly shutdownSeconds: number;
    readonly allowedOrigins: readonly string[];
    readonly allowedHosts: readonly string[];
    readonly behindTlsProxy: boolean;
    /** Empty: no TLS. Both or none. */
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
    /** Channels that one subject may make by publishing or joining. */
    readonly maxChannelsPerSubject: number;
    /** Groups of one tenant. */
    readonly maxGroups: number;
    /** Groups that one subject made. */
    readonly maxGroupsPerSubject: number;
    /** Messages a second and connection, commands included; 0: no limit. */
    readonly rateLimitPerSecond: number;
    /** Never below one when there is a limit: one second's worth unless it is set. */
    readonly rateLimitBurst: number;
    readonly statsIntervalSeconds: number;
  };
  /** Rules of channels that hold in every tenant, as they were written: the bus reads them. */
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
    /** Role without authentication; empty: `admin` while every listener is on loopback, else `user`. */
    readonly anonymousRole: Role | '';
    /** Messages a second of one subject over all its connections; 0: no limit. */
    readonly subjectRateLimitPerSecond: number;
  };
  /** Backends that are asked over HTTP; rules name those of channels. */
  readonly hooks: {
    /** Empty: nobody is asked about connections. */
    readonly connectUrl: string;
    readonly connectOnFailure: 'deny' | 'allow';
    /** Signs questions whose rule has no secret of its own; empty: they are not signed. */
    readonly secret: string;
    readonly timeoutMs: number;
  };
  readonly storage: {
    readonly backend: StorageBackend;
    readonly mode: 'degraded' | 'strict';
    readonly maxHistorySize: number;
    readonly historyTtlSeconds: number;
    /** Of one channel; of one tenant and of the process on the memory backend (0: a quarter of the heap). */
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
    /** The PostgreSQL server without its pooler; empty where there is none. */
    readonly postgresListenUrl: string;
  };
  readonly telemetry: {
    readonly enabled: boolean;
    /** The bus's host unless another is set; never empty. */
    readonly host: string;
    readonly port: Port;
    readonly room: string;
    /** Share of routed messages that make a `message_routed` event, 0 to 1. */
    readonly messageSampleRate: number;
    readonly bufferSize: number;
  };
  readonly http: {
    /** The bus's host unless another is set; never empty. */
    readonly host: string;
    readonly port: Port;
    readonly apiKey: string;
    readonly corsOrigins: readonly string[];
    readonly metricsAuth: boolean;
    /** Whether `/` is the dashboard. */
    readonly dashboard: boolean;
  };
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' };
  /** The snake_case names of `op.casil.reload`; the file spells them in camelCase like every other section. */
  readonly casil: Readonly<CasilSettings>;
  readonly webhook: {
    /** Host names and globs that may be addressed although they resolve to special addresses. */
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
