import type { Config } from './config.ts';
import {
  boolean,
  choice,
  decimal,
  host,
  hostGlobs,
  integer,
  optional,
  origins,
  port,
  portOrOff,
  roomName,
  text,
} from './kinds.ts';
import type { Section, Spec } from './setting.ts';

const MIB = 1_048_576;

const file = optional(text('the path of a file'));

export const environment: Spec<Config['environment']> = {
  env: 'ARQONBUS_ENVIRONMENT',
  flag: 'environment',
  kind: choice(['dev', 'staging', 'prod'], { development: 'dev', production: 'prod' }),
  default: 'dev',
  description:
    'The environment of this server; under `prod` it refuses to start unless it is secure and durable (see Production); ' +
    'under `staging` it warns instead; `production` and `development` are aliases of `prod` and `dev`.',
};

export const server: Section<Config['server']> = {
  host: {
    env: 'ARQONBUS_SERVER_HOST',
    flag: 'host',
    kind: host,
    default: '127.0.0.1',
    description: 'The address on which the bus listens; `0.0.0.0` or `::` for every interface.',
  },
  port: {
    env: 'ARQONBUS_SERVER_PORT',
    flag: 'port',
    kind: port,
    default: 9100,
    description: 'The port on which the bus listens; 0 uses any free one.',
  },
  nodeId: {
    env: 'ARQONBUS_NODE_ID',
    flag: 'node-id',
    kind: optional(
      text('1-64 letters, digits, ".", "_", "-"', (value) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value)),
    ),
    default: '',
    defaultText: 'made up at start',
    description: 'The name of this node, unique in its cluster.',
  },
  workers: {
    env: 'ARQONBUS_WORKERS',
    flag: 'workers',
    kind: integer(0, 256),
    default: 1,
    description: 'Processes that share the ports, each as a separate node; 0 is one for each core of the machine.',
  },
  maxConnections: {
    env: 'ARQONBUS_MAX_CONNECTIONS',
    flag: 'max-connections',
    kind: integer(1, 10_000_000),
    default: 10_000,
    description: 'Concurrent connections of this node; further ones are answered with 503.',
  },
  maxConnectionsPerAddress: {
    env: 'ARQONBUS_MAX_CONNECTIONS_PER_ADDRESS',
    kind: integer(0, 10_000_000),
    default: 0,
    description: 'Concurrent connections from one remote address; 0 sets no limit.',
  },
  maxConnectionsPerSubject: {
    env: 'ARQONBUS_MAX_CONNECTIONS_PER_SUBJECT',
    kind: integer(0, 10_000_000),
    default: 0,
    description: 'Concurrent connections of one token subject; 0 sets no limit.',
  },
  maxMessageSize: {
    env: 'ARQONBUS_MAX_MESSAGE_SIZE',
    kind: integer(1_024, 64 * MIB),
    default: MIB,
    description: 'The largest frame that is accepted, in bytes; a larger one closes the connection with 1009.',
  },
  maxBacklogBytes: {
    env: 'ARQONBUS_MAX_BACKLOG_BYTES',
    kind: integer(1_024, 1_024 * MIB),
    default: 8 * MIB,
    description: 'Unsent bytes after which a slow consumer is closed with 4429.',
  },
  maxMemoryBytes: {
    env: 'ARQONBUS_MAX_MEMORY_BYTES',
    kind: integer(0, 1_024 * 1_024 * MIB),
    default: 0,
    defaultText: '85 % of the heap limit',
    description:
      'Bytes of heap above which connections get 503 and publishes get LIMIT_EXCEEDED, until it has fallen again.',
  },
  compression: {
    env: 'ARQONBUS_COMPRESSION',
    kind: boolean,
    default: false,
    description: 'Offers per-message compression: less traffic, but much more processor time and memory.',
  },
  strictEnvelope: {
    env: 'ARQONBUS_STRICT_ENVELOPE',
    kind: boolean,
    default: false,
    description: 'Refuses envelopes with unknown fields or without a required field.',
  },
  pingIntervalSeconds: {
    env: 'ARQONBUS_PING_INTERVAL_SECONDS',
    kind: decimal(0.01, 3_600),
    default: 20,
    description: 'Time between heartbeats; a connection silent for this and 10 s more is closed with 4408.',
  },
  shutdownSeconds: {
    env: 'ARQONBUS_SHUTDOWN_SECONDS',
    kind: decimal(0, 3_600),
    default: 10,
    description: 'Maximum time of a shutdown to flush connections and storage.',
  },
  drainSeconds: {
    env: 'ARQONBUS_DRAIN_SECONDS',
    kind: decimal(0, 3_600),
    default: 0,
    description:
      'Time over which a stopping node disconnects its clients in even slices, while it serves the rest; ' +
      '0 disconnects all at once.',
  },
  allowedOrigins: {
    env: 'ARQONBUS_ALLOWED_ORIGINS',
    kind: origins,
    default: [],
    description: 'Origins, or globs of their hosts, from which browsers may connect.',
  },
  allowedHosts: {
    env: 'ARQONBUS_ALLOWED_HOSTS',
    kind: hostGlobs,
    default: [],
    description: 'Names under which browsers may reach this server, with pages of the same host as their origin.',
  },
  behindTlsProxy: {
    env: 'ARQONBUS_BEHIND_TLS_PROXY',
    kind: boolean,
    default: false,
    description: 'Declares that a proxy in front of this server terminates TLS.',
  },
  tlsCertFile: {
    env: 'ARQONBUS_TLS_CERT_FILE',
    kind: file,
    default: '',
    description: 'PEM file with the certificate chain of all listeners.',
  },
  tlsKeyFile: {
    env: 'ARQONBUS_TLS_KEY_FILE',
    kind: file,
    default: '',
    description: 'PEM file with the private key of the certificate.',
  },
};

export const telemetry: Section<Config['telemetry']> = {
  enabled: {
    env: 'ARQONBUS_ENABLE_TELEMETRY',
    kind: boolean,
    default: true,
    description: 'Emits telemetry events and opens the telemetry port.',
  },
  host: {
    env: 'ARQONBUS_TELEMETRY_HOST',
    kind: optional(host),
    default: '',
    defaultText: "the bus's host",
    description: 'The address on which the telemetry server listens.',
  },
  port: {
    env: 'ARQONBUS_TELEMETRY_PORT',
    flag: 'telemetry-port',
    kind: portOrOff,
    default: 9101,
    description: 'The port of the telemetry server; 0 uses any free one, `off` disables it.',
  },
  room: {
    env: 'ARQONBUS_TELEMETRY_ROOM',
    kind: roomName,
    default: 'integriguard',
    description: 'The room for telemetry and the activity of agents.',
  },
  messageSampleRate: {
    env: 'ARQONBUS_TELEMETRY_MESSAGE_SAMPLE_RATE',
    kind: decimal(0, 1),
    default: 0,
    description: 'The share of routed messages that emit a `message_routed` event.',
  },
  bufferSize: {
    env: 'ARQONBUS_TELEMETRY_BUFFER_SIZE',
    kind: integer(1, 1_000_000),
    default: 1_000,
    description: 'The number of events kept for replay and for `GET /telemetry/events`.',
  },
};

export const http: Section<Config['http']> = {
  host: {
    env: 'ARQONBUS_HTTP_HOST',
    kind: optional(host),
    default: '',
    defaultText: "the bus's host",
    description: 'The address on which the HTTP server listens.',
  },
  port: {
    env: 'ARQONBUS_HTTP_PORT',
    flag: 'http-port',
    kind: portOrOff,
    default: 8080,
    description: 'The port of the HTTP server; 0 uses any free one, `off` disables it.',
  },
  apiKey: {
    env: 'ARQONBUS_HTTP_API_KEY',
    kind: optional(text('1-512 visible ASCII characters without spaces', (value) => /^[!-~]{1,512}$/.test(value))),
    default: '',
    secret: 'value',
    description: 'The key that callers of the HTTP routes send as `X-API-Key`.',
  },
  corsOrigins: {
    env: 'ARQONBUS_HTTP_CORS_ORIGINS',
    kind: origins,
    default: [],
    description: 'Origins whose pages may read HTTP answers.',
  },
  metricsAuth: {
    env: 'ARQONBUS_METRICS_AUTH',
    kind: boolean,
    default: false,
    description: 'Requires credentials for `/metrics` too.',
  },
  dashboard: {
    env: 'ARQONBUS_DASHBOARD',
    kind: boolean,
    default: true,
    description: 'Serves the dashboard at `/` of the HTTP port.',
  },
};

export const log: Section<Config['log']> = {
  level: {
    env: 'ARQONBUS_LOG_LEVEL',
    flag: 'log-level',
    kind: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
    description: 'The lowest severity of log lines that are written.',
  },
};
