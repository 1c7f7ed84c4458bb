import {
  CHANNEL_NAME,
  CLIENT_TYPES,
  type ClientType,
  ID as ID_PATTERN,
  type JsonObject,
  MAX_EPOCH_LENGTH,
  type Position,
  ROLES,
  ROOM_NAME,
  type Role,
  type SenderRecord,
  TIMESTAMP as TIMESTAMP_PATTERN,
} from '@arqonbus/protocol';
import { z } from 'zod';

const ROOM = ROOM_NAME.source.slice(1, -1);
const CHANNEL = CHANNEL_NAME.source.slice(1, -1);

/** The syntax of `room`: a name, `room:channel`, or wildcards. */
export const ROOM_FIELD: RegExp = new RegExp(`^(${ROOM}(:(\\*|${CHANNEL}))?|\\*(:\\*)?)$`);
/** The syntax of `channel`. */
export const CHANNEL_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL})|\\*:\\*)$`);

// Some validators support neither lookaheads nor lookbehinds, and at most 1,000 repetitions.
const SEGMENT = '[A-Za-z0-9_-]*';
const PATTERN = `>|(?:\\*|[A-Za-z0-9]${SEGMENT})(?:[./](?:\\*|${SEGMENT}))*(?:[./]>)?`;
const SPELLED = '~[A-Za-z0-9_-]+';
const MAIL = `@(:(${CHANNEL}|${SPELLED}))?`;
const OWN_MAIL = `(@:)?${SPELLED}|@:${CHANNEL}`;

/** The syntax of `room` and `channel` for reading: mailboxes too. */
export const READ_ROOM_FIELD: RegExp = new RegExp(`^(${ROOM}(:(\\*|${CHANNEL}))?|${MAIL}|\\*(:\\*)?)$`);
export const READ_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL})|${OWN_MAIL}|\\*:\\*)$`);
/** Their syntax for memberships: channel patterns too. */
export const MEMBERSHIP_ROOM_FIELD: RegExp = new RegExp(
  `^(${ROOM}(:(\\*|${CHANNEL}|${PATTERN}))?|${MAIL}|\\*(:\\*)?)$`,
);
export const MEMBERSHIP_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL}|${PATTERN})|${OWN_MAIL}|\\*:\\*)$`);
/** Excluded from both: a pattern of more than 128 characters. */
export const LONG_PATTERN: JsonObject = { type: 'string', pattern: '(^|:)[^:~][^:]{128}' };

/** The id of an envelope. */
export const ID: z.ZodString = z.string().regex(ID_PATTERN);
/** A timestamp in any accepted form. */
export const TIMESTAMP: z.ZodString = z.string().regex(TIMESTAMP_PATTERN);
/** A timestamp as the server writes it: UTC with milliseconds. */
export const STAMP: z.ZodString = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
/** The same for data of another node: empty when only that node knows it. */
export const STAMP_IF_KNOWN: z.ZodString = z.string().regex(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)?$/);
/** A number of things. */
export const COUNT: z.ZodInt = z.int().min(0);
/** A position in a stream; 0 is before the first event. */
export const SEQUENCE: z.ZodInt = z.int().min(0);
/** Any JSON object, not validated further: the cost of the check does not depend on its number of keys. */
export const OBJECT: z.ZodType<JsonObject> = z
  .unknown()
  .refine(isObject, { error: ({ input }) => (input === undefined ? 'is missing' : 'must be an object') })
  .meta({ type: 'object', additionalProperties: {} }) as z.ZodType<JsonObject>;

export const CLIENT_TYPE: z.ZodType<ClientType> = z.enum(CLIENT_TYPES).meta({ id: 'ClientType' });
export const ROLE: z.ZodType<Role> = z.enum(ROLES).meta({ id: 'Role' });
/** A sender as others see it. */
export const SENDER: z.ZodType<SenderRecord> = z
  .strictObject({
    subject: z.string().describe('From the token, or the identity of the API key or program.').exactOptional(),
    name: z.string().describe('The screen name; a token may fix it.').exactOptional(),
    type: CLIENT_TYPE,
    role: ROLE,
  })
  .meta({ id: 'SenderRecord', description: 'The sender, as the server knows it.' });

/**
 * A position in one epoch of a stream. During a storage outage streams are unknown: the epoch is then empty, and a
 * resume from such a position recovers nothing.
 */
export const POSITION: z.ZodType<Position> = z
  .strictObject({ sequence: SEQUENCE, epoch: z.string().max(MAX_EPOCH_LENGTH) })
  .meta({ id: 'Position', description: 'How far a client has read a stream; with an empty epoch it is unknown.' });

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
