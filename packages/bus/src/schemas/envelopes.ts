import { type Envelope, ERRORS, MAIL_ROOM, MAX_RECIPIENTS, TRACEPARENT } from '@arqonbus/protocol';
import { z } from 'zod';
import { CHANNEL_FIELD, COUNT, ID, OBJECT, ROLE, ROOM_FIELD, SENDER, SEQUENCE, STAMP, TIMESTAMP } from './fields.ts';
import { NOTICES } from './notices.ts';
import { EVENT_OPTIONS, PRIVATE_OPTIONS } from './options.ts';

/**
 * The envelopes as schemas, for documents and other languages. The server checks frames by hand, which is several times
 * faster; a property test holds the two to the same answers. Commands and their answers are made of
 * {@link SENT_COMMAND} and {@link ANSWER}, one of each a command.
 */
const VERSION = z.literal('1.0');
const NAME = z.string().min(1);
const RECIPIENT = z.string().min(1).max(260);
const RECIPIENTS = z.union([RECIPIENT, z.array(RECIPIENT).min(1).max(MAX_RECIPIENTS)]).meta({
  id: 'Recipients',
  description: 'Client ids, sub:SUBJECT for all connections of a subject, @SUBJECT for its mailbox.',
});

const EXACT_ID = ID.meta({ id: 'EnvelopeId' });
const ANY_TIME = TIMESTAMP.meta({ id: 'Timestamp', description: 'RFC 3339; UTC when it has no offset.' });
const ROOM = z.string().regex(ROOM_FIELD).meta({ id: 'RoomField', description: 'Room name, or room:channel.' });
const CHANNEL = z
  .string()
  .regex(CHANNEL_FIELD)
  .meta({ id: 'ChannelField', description: 'Channel name, or room:channel.' });

/** What a sender may tell in `metadata` and what is checked of it. */
const TRACING = {
  vector_clock: z.record(z.string(), COUNT).exactOptional(),
  causal_parent_id: EXACT_ID.exactOptional(),
  // In documents without lookaheads, which not all languages have.
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
  ack: z.boolean().describe('Asks for an ack.').exactOptional(),
  request_id: EXACT_ID.exactOptional(),
  metadata: z.looseObject(TRACING).meta({ id: 'SentMetadata' }).exactOptional(),
};

const NONE = z.never().exactOptional();
const EVENT_TYPE = { type: z.enum(['event', 'message']) };
const TO_SOME = { ...SENT, options: PRIVATE_OPTIONS.exactOptional() };

/** A `command` but for `command` and `args`, which each command has of its own. */
export const SENT_COMMAND: z.ZodType = z
  .looseObject({ ...SENT, type: z.literal('command'), options: NONE })
  .meta({ id: 'CommandFields' });

const PRIVATE = { ...TO_SOME, type: z.literal('private') };

/** What a client sends, by type; commands apart. Unknown fields are dropped by the server, so that they are allowed. */
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
    .meta({ id: 'SentPrivate', description: 'Sends to the addressed clients alone.' }),
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
    .meta({ id: 'SentTelemetry', description: 'Tells whoever monitors the bus.' }),
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
  .meta({ id: 'CasilMetadata', description: 'What content inspection found.' });

const STREAM = z
  .strictObject({
    id: NAME,
    offset: COUNT.describe('Where `payload.text` begins in the text of the stream, in UTF-16 units.'),
    state: z
      .enum(['streaming', 'complete', 'cancelled', 'failed', 'orphaned'])
      .describe('Anything but `streaming` ends it.'),
    revised: z
      .literal(true)
      .describe('The whole is not what was shown before: a hook or the content policy changed it.')
      .exactOptional(),
  })
  .meta({ id: 'StreamMark', description: 'On a piece of a token stream, or on all of it.' });

const METADATA = z
  .looseObject({
    sequence: z.int().min(1).describe('Place in the order of the channel; not on live-only traffic.').exactOptional(),
    epoch: z.string().describe('The incarnation of the stream that sequence counts in.').exactOptional(),
    client_timestamp: ANY_TIME.exactOptional(),
    replayed: z.boolean().exactOptional(),
    delivery: z
      .strictObject({
        group: NAME,
        attempt: z.int().min(1),
        token: NAME.describe('What delivery.ack and its sisters take.'),
        deadline: STAMP.describe('When the lease is over.'),
      })
      .describe('To the member of a group that has it now.')
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
      .describe('On dead letters: what became of it, and where it was.')
      .exactOptional(),
    cron_job_id: z.string().exactOptional(),
    iteration: z.int().min(1).exactOptional(),
    casil: CASIL.exactOptional(),
    sender: SENDER.exactOptional(),
    receipt: z
      .union([z.literal(true), NAME])
      .describe('Its sender wants to be told of it.')
      .exactOptional(),
    request: z
      .union([z.literal(true), z.strictObject({ deadline: STAMP })])
      .describe('Its sender waits for an answer.')
      .exactOptional(),
    hops: z
      .int()
      .min(1)
      .describe('How many messages led to this one, each caused by the one before; counted by the server.')
      .exactOptional(),
    stream: STREAM.exactOptional(),
    expires_at: STAMP.describe('After it the envelope is neither delivered, replayed nor listed.').exactOptional(),
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
  .meta({ id: 'Event', description: 'Somebody published.' });
const TELEMETRY = z
  .strictObject({ ...DELIVERED, type: z.literal('telemetry'), room: NAME, channel: NAME })
  .meta({ id: 'Telemetry', description: 'Somebody told something to those who monitor.' });

const MAIL = z
  .strictObject({ ...DELIVERED, type: z.literal('private'), to: RECIPIENTS, room: z.literal(MAIL_ROOM), channel: NAME })
  .meta({ id: 'Mail', description: 'Somebody sent to a mailbox; from "arqonbus" and with a stage: a receipt.' });

/** An envelope as history keeps it. */
export const STORED: z.ZodType<Envelope> = z
  .discriminatedUnion('type', [EVENT, TELEMETRY, MAIL])
  .meta({ id: 'Envelope', description: 'An envelope as history keeps it.' });

const ERROR_CODE = z.enum(Object.keys(ERRORS) as [string, ...string[]]).meta({ id: 'ErrorCode' });
const FAILURE = {
  room: NAME.describe('Of what the content policy blocked.').exactOptional(),
  channel: NAME.exactOptional(),
  error: z.string().describe('One sentence that a person can act on.'),
  error_code: ERROR_CODE,
  payload: z
    .looseObject({
      retryable: z.boolean(),
      field: z.string().describe('What of the frame or of the arguments is at fault.').exactOptional(),
      expected: z.string().exactOptional(),
      value: z.string().exactOptional(),
      faults: z
        .array(z.looseObject({ field: z.string(), problem: z.string() }))
        .describe('All that is wrong with the arguments.')
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
      error_id: z.string().describe('Finds the cause in the log of the server.').exactOptional(),
    })
    .meta({ id: 'ErrorDetails', description: 'Facts that a program can act on.' }),
};

/** A successful `command_response` but for `command` and `payload`, which each command has of its own. */
export const ANSWER: z.ZodType = z.strictObject({
  ...RECEIVED,
  type: z.literal('command_response'),
  request_id: EXACT_ID,
  status: z.literal('success'),
});

const { welcome, ...others } = NOTICES;

const ACCEPTED = z.strictObject({
  delivered: COUNT.describe('Connections that it was handed to.'),
  duplicate: z.boolean().describe('Whether the same id was accepted before.'),
  stored: z.enum(['none', 'memory', 'disk', 'replicated']),
  sequence: SEQUENCE.exactOptional(),
  epoch: z.string().exactOptional(),
  undelivered: z.array(z.string()).describe('Recipients that nobody is connected as.').exactOptional(),
  job_id: z.string().describe('Of an event for later: op.cron.cancel takes it back.').exactOptional(),
  deliver_at: STAMP.exactOptional(),
  queued: z.array(z.string()).describe('Mailboxes of "to": they keep it.').exactOptional(),
  pending: COUNT.describe('What waits in the fullest of them, this one included.').exactOptional(),
  oldest_ms: COUNT.describe('For how long the oldest of that has waited.').exactOptional(),
});
const RECEIPT = z
  .strictObject({
    stage: z.enum(['handled', 'rejected', 'expired']),
    by: z
      .strictObject({ subject: z.string() })
      .describe('Whose answer it was, when that has a subject.')
      .exactOptional(),
    attempts: COUNT.describe('How often it was handed out.'),
  })
  .meta({ id: 'Receipt', description: 'What became of a message, as its sender asked to be told.' });

/** What a client receives, by type; successful answers to commands apart. */
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
    .meta({ id: 'Private', description: 'Somebody sent to this client alone.' }),
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
      description: 'The message is stored and handed on; later, when it was asked for, what became of it.',
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
    .meta({ id: 'System', description: 'A notice: presence, shutdown, token expiry, channels made and deleted.' }),
  refused_command: z
    .strictObject({
      ...RECEIVED,
      ...FAILURE,
      type: z.literal('command_response'),
      request_id: EXACT_ID.exactOptional(),
      command: z.string().describe('As it was sent; empty when there was none.'),
      status: z.literal('error'),
    })
    .meta({ id: 'RefusedCommand', description: 'The one answer to a command that was refused or failed.' }),
  error: z
    .strictObject({ ...RECEIVED, ...FAILURE, type: z.literal('error'), request_id: EXACT_ID.exactOptional() })
    .meta({ id: 'Error', description: 'The refusal of anything that is not a command.' }),
};
