import type { Config } from './config.ts';
import { boolean, channelName, choice, hostGlobs, integer, list, roomName } from './kinds.ts';
import type { Section } from './setting.ts';

const MIB = 1_048_576;
const GLOBS = 'globs of rooms and channels';

export const casil: Section<Config['casil']> = {
  enabled: {
    env: 'ARQONBUS_CASIL_ENABLED',
    kind: boolean,
    default: false,
    description: 'Inspects the content of messages and commands.',
  },
  mode: {
    env: 'ARQONBUS_CASIL_MODE',
    kind: choice(['monitor', 'enforce']),
    default: 'monitor',
    description: 'Only reports what it would do (`monitor`), or blocks and redacts (`enforce`).',
  },
  default_decision: {
    env: 'ARQONBUS_CASIL_DEFAULT_DECISION',
    kind: choice(['allow', 'block']),
    default: 'allow',
    description: 'What happens to a message whose inspection failed.',
  },
  scope_include: {
    env: 'ARQONBUS_CASIL_SCOPE_INCLUDE',
    kind: list(GLOBS),
    default: [],
    defaultText: 'everything',
    description: 'Globs of inspected places, matched against `room:channel`, the room and the channel.',
  },
  scope_exclude: {
    env: 'ARQONBUS_CASIL_SCOPE_EXCLUDE',
    kind: list(GLOBS),
    default: [],
    description: 'Globs of places that are not inspected; takes precedence.',
  },
  max_inspect_bytes: {
    env: 'ARQONBUS_CASIL_MAX_INSPECT_BYTES',
    kind: integer(1, 64 * MIB),
    default: 65_536,
    description: 'Bytes of a payload that are searched for secrets and patterns.',
  },
  max_patterns: {
    env: 'ARQONBUS_CASIL_MAX_PATTERNS',
    kind: integer(0, 1_000),
    default: 32,
    description: 'The maximum number of `redaction_patterns`.',
  },
  max_payload_bytes: {
    env: 'ARQONBUS_CASIL_MAX_PAYLOAD_BYTES',
    kind: integer(1, 64 * MIB),
    default: 262_144,
    description: 'Bytes above which a payload counts as oversize.',
  },
  block_on_probable_secret: {
    env: 'ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET',
    kind: boolean,
    default: false,
    description: 'Blocks a message with a probable secret instead of redacting it.',
  },
  redaction_paths: {
    env: 'ARQONBUS_CASIL_REDACTION_PATHS',
    kind: list('field names or dotted paths'),
    default: ['password', 'token', 'secret'],
    description: 'Fields whose values are redacted: names at any depth, or dotted paths from the root.',
  },
  redaction_patterns: {
    env: 'ARQONBUS_CASIL_REDACTION_PATTERNS',
    kind: list('regular expressions in the syntax of RE2'),
    default: [],
    description: 'Regular expressions whose matches are redacted and count as secrets.',
  },
  transport_redaction: {
    env: 'ARQONBUS_CASIL_TRANSPORT_REDACTION',
    kind: boolean,
    default: false,
    description: 'Also redacts delivered and stored messages, not only logs and telemetry.',
  },
  never_log_payload_for: {
    env: 'ARQONBUS_CASIL_NEVER_LOG_PAYLOAD_FOR',
    kind: list(GLOBS),
    default: [],
    description: 'Globs of places whose payloads are never shown in logs or telemetry.',
  },
  metadata_to_logs: {
    env: 'ARQONBUS_CASIL_METADATA_TO_LOGS',
    kind: boolean,
    default: true,
    description: 'Logs blocked and redacted messages.',
  },
  metadata_to_telemetry: {
    env: 'ARQONBUS_CASIL_METADATA_TO_TELEMETRY',
    kind: boolean,
    default: true,
    description: 'Emits a `casil_decision` event for each inspection.',
  },
  metadata_to_envelope: {
    env: 'ARQONBUS_CASIL_METADATA_TO_ENVELOPE',
    kind: boolean,
    default: false,
    description: 'Adds the outcome to `metadata.casil` of the envelope.',
  },
};

export const webhook: Section<Config['webhook']> = {
  allowHosts: {
    env: 'ARQONBUS_WEBHOOK_ALLOW_HOSTS',
    kind: hostGlobs,
    default: [],
    description: 'Private, loopback or other special hosts that webhooks may address.',
  },
  maxRules: {
    env: 'ARQONBUS_WEBHOOK_MAX_RULES_PER_TENANT',
    formerEnv: 'ARQONBUS_WEBHOOK_MAX_RULES',
    kind: integer(0, 1_000_000),
    default: 200,
    description: 'Webhook rules that a tenant may have.',
  },
  maxRulesPerSubject: {
    env: 'ARQONBUS_WEBHOOK_MAX_RULES_PER_SUBJECT',
    kind: integer(0, 1_000_000),
    default: 20,
    description: 'Webhook rules that one subject of a tenant may have.',
  },
  maxPostsPerHost: {
    env: 'ARQONBUS_WEBHOOK_MAX_POSTS_PER_HOST',
    kind: integer(1, 1_000_000),
    default: 8,
    description: 'Concurrent requests to one destination, a host with its port, over all rules.',
  },
  maxAttempts: {
    env: 'ARQONBUS_WEBHOOK_MAX_ATTEMPTS',
    kind: integer(1, 100),
    default: 5,
    description: 'Attempts after which a delivery becomes a dead letter.',
  },
};

export const cron: Section<Config['cron']> = {
  maxJobs: {
    env: 'ARQONBUS_CRON_MAX_JOBS_PER_TENANT',
    formerEnv: 'ARQONBUS_CRON_MAX_JOBS',
    kind: integer(0, 1_000_000),
    default: 1_000,
    description: 'Scheduled jobs that a tenant may have.',
  },
  maxJobsPerSubject: {
    env: 'ARQONBUS_CRON_MAX_JOBS_PER_SUBJECT',
    kind: integer(0, 1_000_000),
    default: 20,
    description: 'Scheduled jobs that one subject of a tenant may have.',
  },
};

export const store: Section<Config['store']> = {
  maxKeys: {
    env: 'ARQONBUS_STORE_MAX_KEYS_PER_TENANT',
    formerEnv: 'ARQONBUS_STORE_MAX_KEYS',
    kind: integer(0, 100_000_000),
    default: 10_000,
    description: 'Keys of one tenant.',
  },
  maxBytes: {
    env: 'ARQONBUS_STORE_MAX_BYTES_PER_TENANT',
    kind: integer(0, 1_048_576 * MIB),
    default: 64 * MIB,
    description: 'Bytes of the keys and values of one tenant.',
  },
  maxKeysPerSubject: {
    env: 'ARQONBUS_STORE_MAX_KEYS_PER_SUBJECT',
    kind: integer(0, 100_000_000),
    default: 2_000,
    description: 'Keys that one subject of a tenant may hold: those that it set last.',
  },
  maxBytesPerSubject: {
    env: 'ARQONBUS_STORE_MAX_BYTES_PER_SUBJECT',
    kind: integer(0, 1_048_576 * MIB),
    default: 8 * MIB,
    description: 'Bytes of the keys and values that one subject of a tenant may hold.',
  },
  maxValueBytes: {
    env: 'ARQONBUS_STORE_MAX_VALUE_BYTES',
    kind: integer(1, 64 * MIB),
    default: 65_536,
    description: 'The largest value, in bytes of its JSON text.',
  },
};

export const lease: Section<Config['lease']> = {
  maxKeys: {
    env: 'ARQONBUS_LEASE_MAX_KEYS_PER_TENANT',
    kind: integer(0, 1_000_000),
    default: 10_000,
    description: 'Keys that one tenant may lease at a time.',
  },
  maxKeysPerSubject: {
    env: 'ARQONBUS_LEASE_MAX_KEYS_PER_SUBJECT',
    kind: integer(0, 1_000_000),
    default: 1_000,
    description: 'Keys that one subject of a tenant may lease at a time.',
  },
};

export const omega: Section<Config['omega']> = {
  enabled: {
    env: 'ARQONBUS_OMEGA_ENABLED',
    kind: boolean,
    default: false,
    description: 'Enables the experimental lane `op.omega`.',
  },
  labRoom: {
    env: 'ARQONBUS_OMEGA_LAB_ROOM',
    kind: roomName,
    default: 'omega-lab',
    description: 'The room of its signals.',
  },
  labChannel: {
    env: 'ARQONBUS_OMEGA_LAB_CHANNEL',
    kind: channelName,
    default: 'signals',
    description: 'The channel of its signals.',
  },
  maxEvents: {
    env: 'ARQONBUS_OMEGA_MAX_EVENTS',
    kind: integer(1, 1_000_000),
    default: 1_000,
    description: 'Events that it keeps; the oldest are removed first.',
  },
  maxSubstrates: {
    env: 'ARQONBUS_OMEGA_MAX_SUBSTRATES',
    kind: integer(1, 1_000_000),
    default: 128,
    description: 'Substrates that may be registered.',
  },
};
