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
    'Where this server runs; under `prod` it refuses to start unless it is secure and durable (see Production), under ' +
    '`staging` it warns of what would be refused. `production` and `development` are `prod` and `dev`.',
};

export const server: Section<Config['server']> = {
  host: {
    env: 'ARQONBUS_SERVER_HOST',
    flag: 'host',
    kind: host,
    default: '127.0.0.1',
    description: 'The address that the bus listens on; `0.0.0.0` or `::` for every interface.',
  },
  port: {
    env: 'ARQONBUS_SERVER_PORT',
    flag: 'port',
    kind: port,
    default: 9100,
    description: 'The port that the bus listens on; 0 takes any free one.',
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
    description: 'Processes that share the ports, each a node of its own; 0 is one for each core of the machine.',
  },
  maxConnections: {
    env: 'ARQONBUS_MAX_CONNECTIONS',
    flag: 'max-connections',
    kind: integer(1, 10_000_000),
    default: 10_000,
    description: 'Connections of this node at a time; one more is answered 503.',
  },
  maxConnectionsPerAddress: {
    env: 'ARQONBUS_MAX_CONNECTIONS_PER_ADDRESS',
    kind: integer(0, 10_000_000),
    default: 0,
    description: 'Connections from one remote address at a time; 0 sets no limit.',
  },
  maxConnectionsPerSubject: {
    env: 'ARQONBUS_MAX_CONNECTIONS_PER_SUBJECT',
    kind: integer(0, 10_000_000),
    default: 0,
    description: 'Connections of one token subject at a time; 0 sets no limit.',
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
      'Bytes of heap beyond which connections are answered 503 and publishes LIMIT_EXCEEDED, until it has fallen again.',
  },
  compression: {
    env: 'ARQONBUS_COMPRESSION',
    kind: boolean,
    default: false,
    description: 'Offers per-message compression: less traffic for much more processor time and memory.',
  },
  strictEnvelope: {
    env: 'ARQONBUS_STRICT_ENVELOPE',
    kind: boolean,
    default: false,
    description: 'Refuses envelopes with unknown fields or without a field that the sender owes.',
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
    description: 'How long a shutdown may take to flush connections and storage.',
  },
  drainSeconds: {
    env: 'ARQONBUS_DRAIN_SECONDS',
    kind: decimal(0, 3_600),
    default: 0,
    description:
      'Time over which a node that was told to stop sends its clients away in even slices, while it serves the rest; ' +
      '0 sends all away at once.',
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
    description: 'Says that a proxy in front of this server does TLS.',
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
    description: 'Makes telemetry events and listens for those who want them.',
  },
  host: {
    env: 'ARQONBUS_TELEMETRY_HOST',
    kind: optional(host),
    default: '',
    defaultText: "the bus's host",
    description: 'The address that the telemetry server listens on.',
  },
  port: {
    env: 'ARQONBUS_TELEMETRY_PORT',
    flag: 'telemetry-port',
    kind: portOrOff,
    default: 9101,
    description: 'The port of the telemetry server; 0 takes any free one, `off` does without.',
  },
  room: {
    env: 'ARQONBUS_TELEMETRY_ROOM',
    kind: roomName,
    default: 'integriguard',
    description: 'The room in which telemetry and agents’ activity are published.',
  },
  messageSampleRate: {
    env: 'ARQONBUS_TELEMETRY_MESSAGE_SAMPLE_RATE',
    kind: decimal(0, 1),
    default: 0,
    description: 'The share of routed messages that make a `message_routed` event.',
  },
  bufferSize: {
    env: 'ARQONBUS_TELEMETRY_BUFFER_SIZE',
    kind: integer(1, 1_000_000),
    default: 1_000,
    description: 'The events that are kept for replay and for `GET /telemetry/events`.',
  },
};

export const http: Section<Config['http']> = {
  host: {
    env: 'ARQONBUS_HTTP_HOST',
    kind: optional(host),
    default: '',
    defaultText: "the bus's host",
    description: 'The address that the HTTP server listens on.',
  },
  port: {
    env: 'ARQONBUS_HTTP_PORT',
    flag: 'http-port',
    kind: portOrOff,
    default: 8080,
    description: 'The port of the HTTP server; 0 takes any free one, `off` does without.',
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
    description: 'Asks for credentials at `/metrics` too.',
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
    description: 'The least severe log lines that are written.',
  },
};
