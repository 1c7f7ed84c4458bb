import { CLIENT_TYPES, ERRORS, MAX_RECIPIENTS, ROLES } from '@arqonbus/protocol';
import { z } from 'zod';

/**
 * The envelopes as schemas, for documents and other languages. The server checks frames by hand, which is several times
 * faster; `test/envelope-schemas.test.ts` holds the two to the same answers.
 */
const ROOM = '[A-Za-z0-9][A-Za-z0-9._-]{0,127}';
const CHANNEL = '[A-Za-z0-9][A-Za-z0-9._/-]{0,127}';

const id = z.string().regex(/^arq_[A-Za-z0-9_-]{1,124}$/);
const timestamp = z.iso.datetime({ offset: true });
const object = z.record(z.string(), z.unknown());
const version = z.literal('1.0');
const room = z.string().regex(new RegExp(`^(${ROOM}(:(\\*|${CHANNEL}))?|\\*(:\\*)?)$`));
const channel = z.string().regex(new RegExp(`^(${ROOM}:)?(\\*|${CHANNEL})$`));
const recipient = z.string().min(1).max(260).describe('A client id, or sub:SUBJECT.');
const recipients = z.union([recipient, z.array(recipient).min(1).max(MAX_RECIPIENTS)]);

const clientMetadata = z.looseObject({
  vector_clock: z.record(z.string(), z.int().min(0)).optional(),
  causal_parent_id: id.optional(),
  traceparent: z
    .string()
    .regex(/^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/)
    .optional(),
});

const sent = {
  version: version.optional(),
  id: id.optional(),
  room: room.optional(),
  channel: channel.optional(),
  timestamp: timestamp.optional(),
  payload: object.optional(),
  ack: z.boolean().optional(),
  request_id: id.optional(),
  metadata: clientMetadata.optional(),
};

/** What a client sends, by type. */
export const INBOUND = {
  event: z.looseObject({ ...sent, type: z.enum(['event', 'message']), to: recipients.optional() }),
  private: z.looseObject({ ...sent, type: z.literal('private'), to: recipients.optional() }),
  command: z.looseObject({
    ...sent,
    type: z.literal('command'),
    command: z.string().min(1).max(128),
    args: object.optional(),
  }),
  telemetry: z.looseObject({ ...sent, type: z.literal('telemetry'), to: recipients.optional() }),
};

const received = { version, id, from: z.string(), timestamp: z.iso.datetime({ precision: 3 }) };
const metadata = z.looseObject({
  sequence: z.int().min(1).optional(),
  epoch: z.string().optional(),
  client_timestamp: timestamp.optional(),
  replayed: z.boolean().optional(),
  cron_job_id: z.string().optional(),
  iteration: z.int().min(1).optional(),
  casil: z
    .object({
      kind: z.enum(['data', 'control', 'telemetry', 'system']),
      risk_level: z.enum(['low', 'medium', 'high']),
      flags: z.array(z.string()),
      reason_code: z.string(),
      decision: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']),
      would_be: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']).optional(),
    })
    .optional(),
});
const errorCode = z.enum(Object.keys(ERRORS) as [string, ...string[]]);
const failure = { error: z.string(), error_code: errorCode, payload: z.looseObject({ retryable: z.boolean() }) };
const delivered = { ...received, payload: object, metadata: metadata.optional(), request_id: id.optional() };

/** What a client receives, by type. */
export const OUTBOUND = {
  event: z.object({ ...delivered, type: z.literal('event'), room: z.string(), channel: z.string() }),
  telemetry: z.object({ ...delivered, type: z.literal('telemetry'), room: z.string(), channel: z.string() }),
  private: z.object({
    ...delivered,
    type: z.literal('private'),
    to: recipients,
    room: z.string().optional(),
    channel: z.literal('pm').optional(),
  }),
  ack: z.object({
    ...received,
    type: z.literal('ack'),
    request_id: id,
    room: z.string().optional(),
    channel: z.string().optional(),
    payload: z.object({
      delivered: z.int().min(0),
      duplicate: z.boolean(),
      stored: z.enum(['none', 'memory', 'disk', 'replicated']),
      sequence: z.int().min(0).optional(),
      epoch: z.string().optional(),
      undelivered: z.array(z.string()).optional(),
    }),
  }),
  system: z.object({
    ...received,
    type: z.literal('system'),
    room: z.string().optional(),
    channel: z.string().optional(),
    payload: z.looseObject({ event: z.string() }),
  }),
  welcome: z.object({
    ...received,
    type: z.literal('system'),
    payload: z.object({
      event: z.literal('welcome'),
      welcome: z.string(),
      client_id: z.string(),
      role: z.enum(ROLES),
      tenant: z.string(),
      room: z.string().nullable(),
      channel: z.string().nullable(),
      server: z.object({ name: z.string(), version: z.string(), protocol: z.string(), node: z.string() }),
      limits: z.object({ max_message_bytes: z.int(), ping_interval_ms: z.int() }),
    }),
  }),
  command_response: z.union([
    z.object({
      ...received,
      type: z.literal('command_response'),
      request_id: id.optional(),
      command: z.string(),
      status: z.literal('success'),
      payload: object,
    }),
    z.object({
      ...received,
      ...failure,
      type: z.literal('command_response'),
      request_id: id.optional(),
      command: z.string(),
      status: z.literal('error'),
    }),
  ]),
  error: z.object({ ...received, ...failure, type: z.literal('error'), request_id: id.optional() }),
};

/** What the query of the connection may say. */
export const CLIENT_TYPE = z.enum(CLIENT_TYPES);
