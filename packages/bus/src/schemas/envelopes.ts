import { type Envelope, ERRORS, MAIL_ROOM, MAX_RECIPIENTS, TRACEPARENT } from '@arqonbus/protocol';
import { z } from 'zod';
import { CHANNEL_FIELD, COUNT, ID, OBJECT, ROLE, ROOM_FIELD, SENDER, SEQUENCE, STAMP, TIMESTAMP } from './fields.ts';
import { NOTICES } from './notices.ts';
import { EVENT_OPTIONS, PRIVATE_OPTIONS } from './options.ts';

/**
 * The envelopes as schemas, for documents and other languages. The server validates frames by hand, which is several
 * times faster; a property test checks that both agree. Commands and their answers are built from {@link SENT_COMMAND}
 * and {@link ANSWER}, one of each per command.
 */
const VERSION = z.literal('1.0');
const NAME = z.string().min(1);
const RECIPIENT = z.string().min(1).max(260);
const RECIPIENTS = z.union([RECIPIENT, z.array(RECIPIENT).min(1).max(MAX_RECIPIENTS)]).meta({
  id: 'Recipients',
  description: 'Client ids, sub:SUBJECT for all connections of a subject, @SUBJECT for its mailbox.',
});

const EXACT_ID = ID.meta({ id: 'EnvelopeId' });
const ANY_TIME = TIMESTAMP.meta({ id: 'Timestamp', description: 'RFC 3339; UTC without an offset.' });
const ROOM = z.string().regex(ROOM_FIELD).meta({ id: 'RoomField', description: 'Room name, or room:channel.' });
const CHANNEL = z
  .string()
  .regex(CHANNEL_FIELD)
  .meta({ id: 'ChannelField', description: 'Channel name, or room:channel.' });

/** The client's `metadata` fields that are validated. */
const TRACING = {
  vector_clock: z.record(z.string(), COUNT).exactOptional(),
  causal_parent_id: EXACT_ID.exactOptional(),
  // The schema has no lookaheads, because some languages do not support them.
  traceparent: z
    .string()
    .regex(TRACEPARENT)
    .meta({
      pattern: '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$',
      not: { type: 'string', pattern: '^ff|-0{32}-|-0{16}-' },
      description: 'W3C trace context.',
    })
    .exactOptional(),
};

const SENT = {
  version: VERSION.exactOptional(),
  id: EXACT_ID.exactOptional(),
  room: ROOM.exactOptional(),
  channel: CHANNEL.exactOptional(),
  timestamp: ANY_TIME.exactOptional(),
  payload: OBJECT.exactOptional(),
  ack: z.boolean().describe('Requests an ack.').exactOptional(),
  request_id: EXACT_ID.exactOptional(),
  metadata: z.looseObject(TRACING).meta({ id: 'SentMetadata' }).exactOptional(),
};

const NONE = z.never().exactOptional();
const EVENT_TYPE = { type: z.enum(['event', 'message']) };
const TO_SOME = { ...SENT, options: PRIVATE_OPTIONS.exactOptional() };

/** A `command` without `command` and `args`, which each command defines. */
export const SENT_COMMAND: z.ZodType = z
  .looseObject({ ...SENT, type: z.literal('command'), options: NONE })
  .meta({ id: 'CommandFields' });

const PRIVATE = { ...TO_SOME, type: z.literal('private') };

/** What a client sends, by type, except commands. The server drops unknown fields, so they are allowed. */
export const INBOUND: Readonly<Record<'event' | 'private' | 'telemetry', z.ZodType>> = {
  event: z
    .union([
      z.looseObject({ ...SENT, ...EVENT_TYPE, to: NONE, to_client: NONE, options: EVENT_OPTIONS.exactOptional() }),
      z.looseObject({ ...TO_SOME, ...EVENT_TYPE, to: RECIPIENTS }).describe('A private message.'),
      z.looseObject({ ...TO_SOME, ...EVENT_TYPE, to_client: RECIPIENTS }).describe('A private message.'),
    ])
    .meta({ id: 'SentEvent', description: 'Publishes to a channel or room.' }),
  private: z
    .union([
      z.looseObject({ ...PRIVATE, to: RECIPIENTS }),
      z.looseObject({ ...PRIVATE, to_client: RECIPIENTS }),
      z.looseObject({ ...PRIVATE, payload: z.looseObject({ target: RECIPIENTS }) }),
    ])
    .meta({ id: 'SentPrivate', description: 'Sends only to the addressed clients.' }),
  telemetry: z
    .looseObject({
      ...SENT,
      type: z.literal('telemetry'),
      options: NONE,
      to: RECIPIENTS.exactOptional(),
      to_client: RECIPIENTS.exactOptional(),
      payload: z.looseObject({
        eventType: z.string().regex(/^[A-Za-z0-9._-]{1,128}$/),
        payload: OBJECT,
        room: ROOM.exactOptional(),
        channel: CHANNEL.exactOptional(),
      }),
    })
    .meta({ id: 'SentTelemetry', description: 'A monitoring event.' }),
};

const CASIL = z
  .strictObject({
    kind: z.enum(['data', 'control', 'telemetry', 'system']),
    risk_level: z.enum(['low', 'medium', 'high']),
    flags: z.array(z.string()),
    reason_code: z.string(),
    decision: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']),
    would_be: z.enum(['ALLOW', 'ALLOW_WITH_REDACTION', 'BLOCK']).exactOptional(),
  })
  .meta({ id: 'CasilMetadata', description: 'The result of content inspection.' });

const STREAM = z
  .strictObject({
    id: NAME,
    offset: COUNT.describe('Where `payload.text` begins in the text of the stream, in UTF-16 units.'),
    state: z
      .enum(['streaming', 'complete', 'cancelled', 'failed', 'orphaned'])
      .describe('Anything but `streaming` ends it.'),
    revised: z
      .literal(true)
      .describe('The text differs from what was sent before, because a hook or the content policy changed it.')
      .exactOptional(),
  })
  .meta({ id: 'StreamMark', description: 'On a piece of a token stream, or on the whole text.' });

const METADATA = z
  .looseObject({
    sequence: z
      .int()
      .min(1)
      .describe('Position in the order of the channel; absent on live-only traffic.')
      .exactOptional(),
    epoch: z.string().describe('The lifetime of the stream in which sequence counts.').exactOptional(),
    client_timestamp: ANY_TIME.exactOptional(),
    replayed: z.boolean().exactOptional(),
    delivery: z
      .strictObject({
        group: NAME,
        attempt: z.int().min(1),
        token: NAME.describe('The token for delivery.ack, .nack, .extend and .reject.'),
        deadline: STAMP.describe('The end of the lease.'),
      })
      .describe('For the member of a group that has it now.')
      .exactOptional(),
    dead: z
      .strictObject({
        group: NAME,
        reason: z.string(),
        attempts: COUNT,
        room: NAME,
        channel: NAME,
        sequence: SEQUENCE,
      })
      .describe('On dead letters: the reason, and the original place.')
      .exactOptional(),
    cron_job_id: z.string().exactOptional(),
    iteration: z.int().min(1).exactOptional(),
    casil: CASIL.exactOptional(),
    sender: SENDER.exactOptional(),
    receipt: z
      .union([z.literal(true), NAME])
      .describe('Its sender requested a receipt.')
      .exactOptional(),
    request: z
      .union([z.literal(true), z.strictObject({ deadline: STAMP })])
      .describe('Its sender waits for an answer.')
      .exactOptional(),
    hops: z
      .int()
      .min(1)
      .describe('The length of the chain of messages that caused this one, counted by the server.')
      .exactOptional(),
    stream: STREAM.exactOptional(),
    expires_at: STAMP.describe('After this time the envelope is not delivered, replayed or listed.').exactOptional(),
    ...TRACING,
  })
  .meta({ id: 'Metadata' });

const RECEIVED = { version: VERSION, id: EXACT_ID, from: z.string().min(1), timestamp: STAMP };
const DELIVERED = {
  ...RECEIVED,
  payload: OBJECT,
  metadata: METADATA.exactOptional(),
  request_id: EXACT_ID.exactOptional(),
};

const EVENT = z
  .strictObject({ ...DELIVERED, type: z.literal('event'), room: NAME, channel: NAME })
  .meta({ id: 'Event', description: 'A published event.' });
const TELEMETRY = z
  .strictObject({ ...DELIVERED, type: z.literal('telemetry'), room: NAME, channel: NAME })
  .meta({ id: 'Telemetry', description: 'A monitoring event.' });

const MAIL = z
  .strictObject({ ...DELIVERED, type: z.literal('private'), to: RECIPIENTS, room: z.literal(MAIL_ROOM), channel: NAME })
  .meta({ id: 'Mail', description: 'A message in a mailbox; from "arqonbus" and with a stage: a receipt.' });

/** A stored envelope. */
export const STORED: z.ZodType<Envelope> = z
  .discriminatedUnion('type', [EVENT, TELEMETRY, MAIL])
  .meta({ id: 'Envelope', description: 'An envelope as stored in the history.' });

const ERROR_CODE = z.enum(Object.keys(ERRORS) as [string, ...string[]]).meta({ id: 'ErrorCode' });
const FAILURE = {
  room: NAME.describe('Only if the content policy blocked it.').exactOptional(),
  channel: NAME.exactOptional(),
  error: z.string().describe('One actionable sentence.'),
  error_code: ERROR_CODE,
  payload: z
    .looseObject({
      retryable: z.boolean(),
      field: z.string().describe('The invalid part of the frame or of the arguments.').exactOptional(),
      expected: z.string().exactOptional(),
      value: z.string().exactOptional(),
      faults: z
        .array(z.looseObject({ field: z.string(), problem: z.string() }))
        .describe('Errors in the arguments, at most 20.')
        .exactOptional(),
      supported: z.array(z.string()).exactOptional(),
      command: z.string().exactOptional(),
      required_role: ROLE.exactOptional(),
      feature: z.string().exactOptional(),
      limit: z.number().exactOptional(),
      room: z.string().exactOptional(),
      channel: z.string().exactOptional(),
      members: COUNT.exactOptional(),
      undelivered: z.array(z.string()).exactOptional(),
      key: z.string().exactOptional(),
      current_version: COUNT.exactOptional(),
      after_sequence: SEQUENCE.exactOptional(),
      next_sequence: SEQUENCE.exactOptional(),
      retry_after_ms: COUNT.exactOptional(),
      error_id: z.string().describe('Identifies the cause in the log of the server.').exactOptional(),
    })
    .meta({ id: 'ErrorDetails', description: 'Details for programs.' }),
};

/** A successful `command_response` without `command` and `payload`, which each command defines. */
export const ANSWER: z.ZodType = z.strictObject({
  ...RECEIVED,
  type: z.literal('command_response'),
  request_id: EXACT_ID,
  status: z.literal('success'),
});

const { welcome, ...others } = NOTICES;

const ACCEPTED = z.strictObject({
  delivered: COUNT.describe('Connections that received it.'),
  duplicate: z.boolean().describe('Whether the same id was accepted before.'),
  stored: z.enum(['none', 'memory', 'disk', 'replicated']),
  sequence: SEQUENCE.exactOptional(),
  epoch: z.string().exactOptional(),
  undelivered: z.array(z.string()).describe('Recipients that are not connected.').exactOptional(),
  job_id: z.string().describe('For a delayed event: pass it to op.cron.cancel to cancel it.').exactOptional(),
  deliver_at: STAMP.exactOptional(),
  queued: z.array(z.string()).describe('Mailboxes in "to" that stored it.').exactOptional(),
  pending: COUNT.describe('Waiting messages in the fullest of them, including this one.').exactOptional(),
  oldest_ms: COUNT.describe('How long the oldest of these has waited.').exactOptional(),
});
const RECEIPT = z
  .strictObject({
    stage: z.enum(['handled', 'rejected', 'expired']),
    by: z.strictObject({ subject: z.string() }).describe('Who answered, if that member has a subject.').exactOptional(),
    attempts: COUNT.describe('Number of deliveries.'),
  })
  .meta({ id: 'Receipt', description: 'The outcome of a message whose sender requested a receipt.' });

/** What a client receives, by type, except successful command responses. */
export const OUTBOUND: Readonly<
  Record<'event' | 'telemetry' | 'private' | 'ack' | 'welcome' | 'system' | 'refused_command' | 'error', z.ZodType>
> = {
  event: EVENT,
  telemetry: TELEMETRY,
  private: z
    .strictObject({
      ...DELIVERED,
      type: z.literal('private'),
      to: RECIPIENTS,
      room: NAME.exactOptional(),
      channel: NAME.exactOptional(),
    })
    .meta({ id: 'Private', description: 'A private message to this client.' }),
  ack: z
    .strictObject({
      ...RECEIVED,
      type: z.literal('ack'),
      request_id: EXACT_ID,
      room: NAME.exactOptional(),
      channel: NAME.exactOptional(),
      payload: z.union([ACCEPTED, RECEIPT]),
    })
    .meta({
      id: 'Ack',
      description: 'The message is stored and sent on; later, if requested, its outcome.',
    }),
  welcome: z
    .strictObject({ ...RECEIVED, type: z.literal('system'), payload: welcome })
    .meta({ id: 'WelcomeEnvelope', description: 'The first frame of every connection.' }),
  system: z
    .strictObject({
      ...RECEIVED,
      type: z.literal('system'),
      room: NAME.exactOptional(),
      channel: NAME.exactOptional(),
      payload: z.union(Object.values(others)),
    })
    .meta({ id: 'System', description: 'A notice: presence, shutdown, token expiry, channels created and deleted.' }),
  refused_command: z
    .strictObject({
      ...RECEIVED,
      ...FAILURE,
      type: z.literal('command_response'),
      request_id: EXACT_ID.exactOptional(),
      command: z.string().describe('As sent; empty if there was none.'),
      status: z.literal('error'),
    })
    .meta({ id: 'RefusedCommand', description: 'The answer to a command that was refused or failed.' }),
  error: z
    .strictObject({ ...RECEIVED, ...FAILURE, type: z.literal('error'), request_id: EXACT_ID.exactOptional() })
    .meta({ id: 'Error', description: 'The refusal of anything that is not a command.' }),
};
