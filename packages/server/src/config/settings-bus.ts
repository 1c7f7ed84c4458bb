import { MAX_CHANNELS_PER_TENANT, MAX_SUBSCRIPTIONS } from '@arqonbus/protocol';
import type { Config } from './config.ts';
import { boolean, choice, decimal, integer, jsonList, optional, redisUrl, rooms, text, url } from './kinds.ts';
import type { Section, Spec } from './setting.ts';

const TEN_YEARS_SECONDS = 315_360_000;
const MAX_RATE = 10_000_000;

/** Maximum for limits in bytes: 1 TiB. */
const MAX_BYTES = 1_024 ** 4;

export const bus: Section<Config['bus']> = {
  autoCreateChannels: {
    env: 'ARQONBUS_AUTO_CREATE_CHANNELS',
    kind: boolean,
    default: true,
    description: 'Creates a channel when it is first joined or published to; otherwise only `create_channel` does.',
  },
  channelIdleSeconds: {
    env: 'ARQONBUS_CHANNEL_IDLE_SECONDS',
    kind: decimal(0.01, TEN_YEARS_SECONDS),
    default: 300,
    description:
      'Time without members and traffic after which an automatically created channel leaves the lists; its history stays.',
  },
  presenceGraceSeconds: {
    env: 'ARQONBUS_PRESENCE_GRACE_SECONDS',
    kind: decimal(0, 3_600),
    default: 5,
    description: 'How long presence waits for a lost connection to return before it reports the client as gone.',
  },
  maxHops: {
    env: 'ARQONBUS_MAX_HOPS',
    kind: integer(1, 1_000),
    default: 64,
    description:
      'The longest chain of messages, each caused by the previous one; beyond it, `LOOP_DETECTED`; a rule can override it (`max_hops`).',
  },
  publishRequiresJoin: {
    env: 'ARQONBUS_PUBLISH_REQUIRES_JOIN',
    kind: boolean,
    default: false,
    description: 'Lets only members publish to a channel.',
  },
  bootstrapRooms: {
    env: 'ARQONBUS_BOOTSTRAP_ROOMS',
    kind: rooms,
    default: {
      science: ['general', 'explore', 'hypothesize', 'design', 'execute', 'interpret', 'share'],
      integriguard: ['telemetry-stream', 'dashboard-events'],
    },
    description: 'The rooms and channels that exist in every tenant from the start and cannot be deleted.',
  },
  maxSubscriptions: {
    env: 'ARQONBUS_MAX_SUBSCRIPTIONS',
    kind: integer(1, 1_000_000),
    default: MAX_SUBSCRIPTIONS,
    description: 'Channels and rooms that one connection may join.',
  },
  maxChannels: {
    env: 'ARQONBUS_MAX_CHANNELS',
    kind: integer(1, 10_000_000),
    default: MAX_CHANNELS_PER_TENANT,
    description: 'Channels that one tenant may have.',
  },
  maxChannelsPerSubject: {
    env: 'ARQONBUS_MAX_CHANNELS_PER_SUBJECT',
    kind: integer(1, 10_000_000),
    default: 1_000,
    description: 'Channels that one subject may create by publishing or joining; guests create none.',
  },
  maxGroups: {
    env: 'ARQONBUS_MAX_GROUPS',
    kind: integer(1, 1_000_000),
    default: 1_000,
    description: 'Groups that one tenant may have.',
  },
  maxGroupsPerSubject: {
    env: 'ARQONBUS_MAX_GROUPS_PER_SUBJECT',
    kind: integer(1, 1_000_000),
    default: 100,
    description: 'Groups that one subject may create.',
  },
  rateLimitPerSecond: {
    env: 'ARQONBUS_RATE_LIMIT_PER_SECOND',
    kind: decimal(0, MAX_RATE),
    default: 0,
    description:
      'Messages per second of one connection, including commands; also HTTP requests per second of one subject, or of one address without a subject. 0 sets no limit.',
  },
  rateLimitBurst: {
    env: 'ARQONBUS_RATE_LIMIT_BURST',
    kind: integer(0, MAX_RATE),
    default: 0,
    defaultText: 'one second’s worth',
    description: 'Size of a burst of messages of a connection, and of requests of an HTTP caller.',
  },
  statsIntervalSeconds: {
    env: 'ARQONBUS_STATS_INTERVAL_SECONDS',
    kind: decimal(0.01, TEN_YEARS_SECONDS),
    default: 60,
    description: 'Interval of the `server_stats` events and their log lines.',
  },
};

export const rules: Spec<Config['rules']> = {
  env: 'ARQONBUS_RULES',
  kind: jsonList,
  default: [],
  secret: 'fields-named-secret',
  description:
    'Channel rules that apply in every tenant; rules set with `op.rules.set` take precedence in their tenant.',
};

export const auth: Section<Config['auth']> = {
  enabled: {
    env: 'ARQONBUS_ENABLE_AUTH',
    kind: boolean,
    default: false,
    description: 'Admits only connections with a valid JSON Web Token.',
  },
  jwtSecret: {
    env: 'ARQONBUS_AUTH_JWT_SECRET',
    kind: optional(text('text without control characters')),
    default: '',
    secret: 'value',
    description: 'The key of tokens signed with HS256; under `prod` at least 32 bytes.',
  },
  jwtAlgorithm: {
    env: 'ARQONBUS_AUTH_JWT_ALGORITHM',
    kind: choice(['HS256', 'RS256', 'ES256', 'EdDSA']),
    default: 'HS256',
    description: 'The only accepted token algorithm, whatever a token claims.',
  },
  jwksUrl: {
    env: 'ARQONBUS_AUTH_JWKS_URL',
    kind: optional(url(['https', 'http'])),
    default: '',
    secret: 'url-password',
    description: 'The URL of the public keys of RS256, ES256 or EdDSA tokens.',
  },
  publicKeyFile: {
    env: 'ARQONBUS_AUTH_PUBLIC_KEY_FILE',
    kind: optional(text('the path of a file')),
    default: '',
    description: 'PEM file with the public key of RS256, ES256 or EdDSA tokens.',
  },
  issuer: {
    env: 'ARQONBUS_AUTH_ISSUER',
    kind: text('text without control characters'),
    default: '',
    defaultText: 'any',
    description: 'The required `iss` of tokens.',
  },
  audience: {
    env: 'ARQONBUS_AUTH_AUDIENCE',
    kind: text('text without control characters'),
    default: '',
    defaultText: 'any',
    description: 'The required `aud` of tokens.',
  },
  cookie: {
    env: 'ARQONBUS_AUTH_COOKIE',
    kind: optional(text("a cookie's name", (value) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(value))),
    default: '',
    description: 'The cookie that may contain the token of a request with an allowed `Origin`.',
  },
  anonymousRole: {
    env: 'ARQONBUS_ANONYMOUS_ROLE',
    kind: choice(['', 'guest', 'user', 'admin']),
    default: '',
    defaultText: '`admin` while every listener is on loopback, else `user`',
    description: 'The role of every client while authentication is off.',
  },
  subjectRateLimitPerSecond: {
    env: 'ARQONBUS_AUTH_SUBJECT_RATE_LIMIT_PER_SECOND',
    kind: decimal(0, MAX_RATE),
    default: 0,
    description:
      'Messages per second of one token subject over all its connections and HTTP requests; 0 sets no limit.',
  },
};

export const hooks: Section<Config['hooks']> = {
  connectUrl: {
    env: 'ARQONBUS_HOOK_CONNECT_URL',
    kind: optional(url(['https', 'http'])),
    default: '',
    secret: 'url-password',
    description: 'The backend that is asked about every connection.',
  },
  connectOnFailure: {
    env: 'ARQONBUS_HOOK_CONNECT_ON_FAILURE',
    kind: choice(['deny', 'allow']),
    default: 'deny',
    description: 'Whether clients may connect while that backend does not answer.',
  },
  secret: {
    env: 'ARQONBUS_HOOK_SECRET',
    kind: optional(text('`whsec_` and the base64 of 24 to 64 random bytes', isSigningSecret)),
    default: '',
    secret: 'value',
    description: 'Signs the requests of all hooks without their own secret.',
  },
  timeoutMs: {
    env: 'ARQONBUS_HOOK_TIMEOUT_MS',
    kind: integer(10, 10_000),
    default: 500,
    description: 'The timeout of a hook, in milliseconds, unless its rule sets another.',
  },
};

export const storage: Section<Config['storage']> = {
  backend: {
    env: 'ARQONBUS_STORAGE_BACKEND',
    flag: 'storage',
    kind: choice(['memory', 'sqlite', 'redis', 'valkey', 'redis_streams', 'valkey_streams', 'postgres'], {
      memory_storage: 'memory',
      postgresql: 'postgres',
    }),
    default: 'memory',
    description: 'Where history and state are stored, and how nodes of a cluster communicate.',
  },
  mode: {
    env: 'ARQONBUS_STORAGE_MODE',
    flag: 'storage-mode',
    kind: choice(['degraded', 'strict']),
    default: 'degraded',
    description:
      'During an outage of the backend: continue live without storing (`degraded`), or refuse to publish (`strict`).',
  },
  maxHistorySize: {
    env: 'ARQONBUS_MAX_HISTORY_SIZE',
    kind: integer(0, 10_000_000),
    default: 500,
    description: 'Envelopes stored for each channel; 0 stores none.',
  },
  historyTtlSeconds: {
    env: 'ARQONBUS_HISTORY_TTL_SECONDS',
    kind: decimal(0.01, TEN_YEARS_SECONDS),
    default: 86_400,
    description: 'How long envelopes are stored.',
  },
  maxHistoryBytes: {
    env: 'ARQONBUS_MAX_HISTORY_BYTES_PER_CHANNEL',
    kind: integer(1_024, MAX_BYTES),
    default: 16 * 1_048_576,
    description: 'Bytes of envelopes that a channel stores, whatever their number; the oldest are removed first.',
  },
  maxHistoryBytesPerTenant: {
    env: 'ARQONBUS_MAX_HISTORY_BYTES_PER_TENANT',
    kind: integer(1_024, MAX_BYTES),
    default: 256 * 1_048_576,
    description:
      'Bytes that all channels of a tenant store on the memory backend; the oldest of the largest channels are removed first.',
  },
  maxHistoryBytesTotal: {
    env: 'ARQONBUS_MAX_HISTORY_BYTES',
    kind: integer(0, MAX_BYTES),
    default: 0,
    defaultText: 'a quarter of the heap limit',
    description:
      'Bytes that all channels of the process store on the memory backend; the oldest of the largest channels are removed first.',
  },
  sqlitePath: {
    env: 'ARQONBUS_SQLITE_PATH',
    flag: 'sqlite-path',
    kind: text('the path of a file', (value) => value !== ''),
    default: 'arqonbus.db',
    description: 'The database file of the `sqlite` backend.',
  },
  redisUrl: {
    env: 'ARQONBUS_REDIS_URL',
    kind: optional(redisUrl(['redis', 'rediss', 'valkey', 'valkeys'])),
    default: '',
    secret: 'url-password',
    description:
      'The server of the `redis` backend, its sentinels (`redis+sentinel://HOST,HOST/NAME`), or servers that share the rooms; defaults to that of `valkey`.',
  },
  valkeyUrl: {
    env: 'ARQONBUS_VALKEY_URL',
    kind: optional(redisUrl(['valkey', 'valkeys', 'redis', 'rediss'])),
    default: '',
    secret: 'url-password',
    description:
      'The server of the `valkey` backend, its sentinels, or servers that share the rooms; defaults to that of `redis`.',
  },
  redisWaitReplicas: {
    env: 'ARQONBUS_REDIS_WAIT_REPLICAS',
    kind: integer(0, 10),
    default: 0,
    description:
      'Replicas of Redis or Valkey that must hold an event before its ack has `replicated`; 0 waits for none.',
  },
  redisWaitFsync: {
    env: 'ARQONBUS_REDIS_WAIT_FSYNC',
    kind: boolean,
    default: false,
    description:
      'Redis 7.2 or Valkey, and those replicas, must have synced an event to disk (`WAITAOF`) before its ack has ' +
      '`replicated`, or `disk` if their number is 0.',
  },
  redisWaitMs: {
    env: 'ARQONBUS_REDIS_WAIT_MS',
    kind: integer(1, 10_000),
    default: 1_000,
    description: 'How long to wait for replicas and syncs, in milliseconds; then the ack states what is known by then.',
  },
  postgresUrl: {
    env: 'ARQONBUS_POSTGRES_URL',
    kind: optional(url(['postgres', 'postgresql'])),
    default: '',
    secret: 'url-password',
    description: 'The server and database of the `postgres` backend.',
  },
  postgresListenUrl: {
    env: 'ARQONBUS_POSTGRES_LISTEN_URL',
    kind: optional(url(['postgres', 'postgresql'])),
    default: '',
    secret: 'url-password',
    description:
      'The direct URL of the same server, for LISTEN, if ARQONBUS_POSTGRES_URL is that of a pooler in transaction mode.',
  },
};

/** The same format as for webhooks: a key of 24 to 64 bytes. */
function isSigningSecret(value: string): boolean {
  const encoded = /^whsec_([A-Za-z0-9+/]+)={0,2}$/.exec(value)?.[1] ?? '';
  const bytes = Math.floor((encoded.length * 3) / 4);
  return encoded.length % 4 !== 1 && bytes >= 24 && bytes <= 64;
}
