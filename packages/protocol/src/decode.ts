import { type PartialAddress, parseAddress } from './address.ts';
import type { Inbound, InboundType, JsonObject, Metadata, Refusal } from './envelope.ts';
import { PROTOCOL_VERSION } from './envelope.ts';
import { BusError, type ErrorCode, type ErrorDetails } from './errors.ts';
import { isId, newId } from './id.ts';
import { assertJson, jsonFault } from './json.ts';
import { MAX_NESTING, MAX_RECIPIENTS } from './limits.ts';
import { checkMetadata } from './metadata.ts';
import { checkOptions } from './options.ts';
import { mayHoldSurrogates, replaceSurrogates } from './surrogates.ts';
import { isTimestamp, withOffset } from './time.ts';

/** Fields that are checked on their own, whatever the type. */
const CHECKED: ReadonlySet<string> = new Set(
  'version id type room channel timestamp payload request_id ack metadata options'.split(' '),
);
/** Fields of some types, and server-owned fields, which are ignored. */
const KNOWN: ReadonlySet<string> = new Set(
  'from sender from_client to to_client command args status error error_code'.split(' '),
);

const TYPES: ReadonlyMap<string, InboundType | 'server'> = new Map<string, InboundType | 'server'>([
  ['event', 'event'],
  ['message', 'event'],
  ['private', 'private'],
  ['command', 'command'],
  ['telemetry', 'telemetry'],
  ['system', 'server'],
  ['command_response', 'server'],
  ['ack', 'server'],
  ['error', 'server'],
]);

const NO_ARGS: JsonObject = Object.freeze({});
const NOWHERE: PartialAddress = Object.freeze({});

/**
 * Parses one text frame (PROTOCOL sections 2 and 3). Returns the validated envelope, or the refusal to send;
 * never throws, for any text.
 *
 * @param text the frame, already checked against the size limit. It was UTF-8, so that only escapes can spell half a
 *   surrogate pair; those become U+FFFD.
 * @param strict refuse unknown fields and missing `version`, `id` or `payload` instead of correcting them
 */
export function decode(text: string, strict = false): Inbound | Refusal {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return refusal('INVALID_JSON', 'The frame is not valid JSON; send one JSON object per text frame.');
  }
  if (!isObject(frame)) return refusal('INVALID_JSON', 'The frame must be one JSON object.');
  // Deeper nesting is refused or dropped below.
  if (mayHoldSurrogates(text)) frame = replaceSurrogates(frame, MAX_NESTING + 1);
  try {
    return validate(frame as JsonObject, strict);
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
    return refusal(error.code, sentenceOf(error, frame as JsonObject), error.details, frame as JsonObject);
  }
}

/** Explains `null` in the refusal, because serializers of several languages write it for fields that are not set. */
function sentenceOf({ message, details: { field } }: BusError, frame: JsonObject): string {
  if (typeof field !== 'string' || !Object.hasOwn(frame, field) || frame[field] !== null) return message;
  return `"${field}" is null: give it a value, or leave it out.`;
}

export function isRefusal(result: object): result is Refusal {
  return 'code' in result;
}

function validate(frame: JsonObject, strict: boolean): Inbound {
  const { version, id, type } = frame;
  if (version === undefined ? strict : version !== PROTOCOL_VERSION) {
    throw version === undefined
      ? owed('version', `"${PROTOCOL_VERSION}"`)
      : new BusError('UNSUPPORTED_VERSION', `This server speaks protocol version "${PROTOCOL_VERSION}".`, {
          field: 'version',
          supported: [PROTOCOL_VERSION],
        });
  }
  if (id === undefined ? strict : !isId(id)) {
    throw invalid(
      'id',
      '"id" must be "arq_" followed by 1-124 letters, digits, "_" or "-".',
      'arq_[A-Za-z0-9_-]{1,124}',
    );
  }
  const kind = checkType(type);
  const dropped = checkOthers(frame, strict);

  const payload = frame.payload;
  if (payload === undefined ? strict && kind !== 'command' : !isObject(payload)) {
    throw invalid('payload', '"payload" must be a JSON object.', 'object');
  }

  if (payload !== undefined) assertJson(payload, 'payload');

  const ack = frame.ack;
  if (ack !== undefined && typeof ack !== 'boolean') throw invalid('ack', '"ack" must be true or false.', 'boolean');
  const requestId = frame.request_id;
  if (requestId !== undefined && !isId(requestId)) {
    throw invalid('request_id', '"request_id" must be the id of the envelope that this one answers.', 'id');
  }

  const address = checkAddress(frame, kind === 'command');
  const body = (payload as JsonObject | undefined) ?? {};
  const isCommand = kind === 'command';
  const to = isCommand ? undefined : checkRecipients(frame, body, kind);
  // A message with recipients is private, whatever its type.
  const meant = kind === 'event' && to !== undefined ? 'private' : kind;
  return {
    id: (id as string | undefined) ?? newId(),
    type: meant,
    room: address.room,
    channel: address.channel,
    to,
    payload: body,
    command: isCommand ? commandName(frame, body) : '',
    args: isCommand ? commandArgs(frame, body) : NO_ARGS,
    ack: ack === true,
    requestId,
    metadata: readMetadata(frame),
    options: frame.options === undefined ? undefined : checkOptions(frame.options, meant),
    dropped,
  };
}

function checkType(type: unknown): InboundType {
  if (type === undefined) throw invalid('type', '"type" is required: event, private, command or telemetry.', 'string');
  if (typeof type !== 'string') throw invalid('type', '"type" must be a string.', 'string');
  const kind = TYPES.get(type);
  if (kind === undefined) {
    throw new BusError('UNKNOWN_TYPE', `Unknown type; send event, private, command or telemetry.`, {
      field: 'type',
      value: type.slice(0, 140),
    });
  }
  if (kind === 'server')
    throw invalid('type', `Only the server sends "${type}".`, 'event | private | command | telemetry');
  return kind;
}

/** Checks that JSON can represent the remaining fields. Returns the number of unknown ones. */
function checkOthers(frame: JsonObject, strict: boolean): number {
  let unknown = 0;
  for (const key in frame) {
    if (CHECKED.has(key)) continue;
    const value = frame[key];
    const fault = jsonFault(value, MAX_NESTING);
    // The depth of a field that is dropped anyway does not matter.
    if (fault === 'number' || (fault === 'depth' && key === 'args')) assertJson(value, key.slice(0, 140));
    if (KNOWN.has(key)) continue;
    if (strict) {
      const field = key.slice(0, 140);
      throw invalid(field, `Unknown field "${field}"; remove it.`, 'no such field');
    }
    unknown += 1;
  }
  return unknown;
}

function checkAddress(frame: JsonObject, mailboxes: boolean): PartialAddress {
  const { room, channel } = frame;
  if (room === undefined && channel === undefined) return NOWHERE;
  if (room !== undefined && typeof room !== 'string') throw invalid('room', '"room" must be a string.', 'string');
  if (channel !== undefined && typeof channel !== 'string') {
    throw invalid('channel', '"channel" must be a string.', 'string');
  }
  return parseAddress(room, channel, false, mailboxes);
}

function checkRecipients(frame: JsonObject, payload: JsonObject, kind: InboundType): string[] | undefined {
  const field = frame.to !== undefined ? 'to' : frame.to_client !== undefined ? 'to_client' : 'payload.target';
  if (frame.to === undefined && frame.to_client === undefined && kind !== 'private') return undefined;
  const to = frame.to !== undefined ? frame.to : frame.to_client !== undefined ? frame.to_client : payload.target;
  if (to === undefined) return undefined;
  const list: unknown[] = Array.isArray(to) ? to : [to];
  if (list.length === 0 || list.length > MAX_RECIPIENTS) {
    throw invalid(field, `"${field}" names 1-${MAX_RECIPIENTS} recipients.`, `1-${MAX_RECIPIENTS} recipients`);
  }
  for (const target of list) {
    if (typeof target !== 'string' || target === '' || target.length > 260) {
      throw invalid(
        field,
        `Each recipient in "${field}" is a client id, "sub:SUBJECT" or the mailbox "@SUBJECT", at most 260 characters long.`,
        'client id | sub:SUBJECT | @SUBJECT',
      );
    }
  }
  return list as string[];
}

function commandName(frame: JsonObject, payload: JsonObject): string {
  const name = frame.command === undefined ? payload.command : frame.command;
  if (typeof name !== 'string' || name === '' || name.length > 128) {
    throw invalid('command', '"command" must name a command; "help" lists them.', 'string');
  }
  return name;
}

function commandArgs(frame: JsonObject, payload: JsonObject): JsonObject {
  // The alternative form, payload.command + payload.parameters, applies only if the first is not used.
  const nested = frame.command === undefined;
  const field = nested ? 'payload.parameters' : 'args';
  const args = frame.args === undefined && nested ? payload.parameters : frame.args;
  if (args === undefined) return {};
  if (!isObject(args)) throw invalid(field, `"${field}" must be a JSON object.`, 'object');
  return args;
}

function readMetadata(frame: JsonObject): Metadata | undefined {
  const { metadata, timestamp } = frame;
  if (timestamp !== undefined && !isTimestamp(timestamp)) {
    throw invalid('timestamp', '"timestamp" must be RFC 3339, like 2026-01-31T12:00:00.000Z.', 'RFC 3339 date-time');
  }
  const stamped = timestamp === undefined ? undefined : withOffset(timestamp);
  if (metadata === undefined) return stamped === undefined ? undefined : { client_timestamp: stamped };
  if (!isObject(metadata)) throw invalid('metadata', '"metadata" must be a JSON object.', 'object');
  assertJson(metadata, 'metadata');
  return checkMetadata(metadata, stamped);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(field: string, message: string, expected: string): BusError {
  return new BusError('VALIDATION_ERROR', message, { field, expected });
}

function owed(field: string, expected: string): BusError {
  return invalid(field, `"${field}" is required in strict mode.`, expected);
}

function refusal(code: ErrorCode, message: string, details: ErrorDetails = {}, frame: JsonObject = {}): Refusal {
  const { id, type, command } = frame;
  return {
    code,
    message,
    details,
    requestId: isId(id) ? id : undefined,
    command: type === 'command' ? (typeof command === 'string' ? command.slice(0, 128).toWellFormed() : '') : undefined,
  };
}
