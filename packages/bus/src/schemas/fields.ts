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

/** What `room` may hold: a name, `room:channel`, or wildcards. */
export const ROOM_FIELD: RegExp = new RegExp(`^(${ROOM}(:(\\*|${CHANNEL}))?|\\*(:\\*)?)$`);
/** What `channel` may hold. */
export const CHANNEL_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL})|\\*:\\*)$`);

// Documents are read by programs whose regular expressions look neither ahead nor behind, and repeat at most 1,000 times.
const SEGMENT = '[A-Za-z0-9_-]*';
const PATTERN = `>|(?:\\*|[A-Za-z0-9]${SEGMENT})(?:[./](?:\\*|${SEGMENT}))*(?:[./]>)?`;
const SPELLED = '~[A-Za-z0-9_-]+';
const MAIL = `@(:(${CHANNEL}|${SPELLED}))?`;
const OWN_MAIL = `(@:)?${SPELLED}|@:${CHANNEL}`;

/** What they may hold where one reads: a mailbox too. */
export const READ_ROOM_FIELD: RegExp = new RegExp(`^(${ROOM}(:(\\*|${CHANNEL}))?|${MAIL}|\\*(:\\*)?)$`);
export const READ_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL})|${OWN_MAIL}|\\*:\\*)$`);
/** What they may hold where one may be a member: a pattern of channels too. */
export const MEMBERSHIP_ROOM_FIELD: RegExp = new RegExp(
  `^(${ROOM}(:(\\*|${CHANNEL}|${PATTERN}))?|${MAIL}|\\*(:\\*)?)$`,
);
export const MEMBERSHIP_FIELD: RegExp = new RegExp(`^((${ROOM}:)?(\\*|${CHANNEL}|${PATTERN})|${OWN_MAIL}|\\*:\\*)$`);
/** What neither of them holds: a pattern of more than 128 characters. */
export const LONG_PATTERN: JsonObject = { type: 'string', pattern: '(^|:)[^:~][^:]{128}' };

/** The id of an envelope. */
export const ID: z.ZodString = z.string().regex(ID_PATTERN);
/** A time as anybody may write it. */
export const TIMESTAMP: z.ZodString = z.string().regex(TIMESTAMP_PATTERN);
/** A time as the server writes it: UTC with milliseconds. */
export const STAMP: z.ZodString = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
/** The same of something that another node knows: empty where only that one could tell. */
export const STAMP_IF_KNOWN: z.ZodString = z.string().regex(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)?$/);
/** How many there are of something. */
export const COUNT: z.ZodInt = z.int().min(0);
/** A place in a stream's order; 0 stands before the first event. */
export const SEQUENCE: z.ZodInt = z.int().min(0);
/** Any JSON object. */
export const OBJECT: z.ZodType<JsonObject> = z.record(z.string(), z.unknown());

export const CLIENT_TYPE: z.ZodType<ClientType> = z.enum(CLIENT_TYPES).meta({ id: 'ClientType' });
export const ROLE: z.ZodType<Role> = z.enum(ROLES).meta({ id: 'Role' });
/** Who somebody is to others. */
export const SENDER: z.ZodType<SenderRecord> = z
  .strictObject({
    subject: z.string().describe('From the token, or whose key or program it was.').exactOptional(),
    name: z.string().describe('The screen name; a token may fix it.').exactOptional(),
    type: CLIENT_TYPE,
    role: ROLE,
  })
  .meta({ id: 'SenderRecord', description: 'What the server knows of who sent it.' });

/**
 * A place in one incarnation of a stream. While the storage is away nothing is known of the streams: then the epoch is
 * empty, and whoever comes back with it has recovered nothing.
 */
export const POSITION: z.ZodType<Position> = z
  .strictObject({ sequence: SEQUENCE, epoch: z.string().max(MAX_EPOCH_LENGTH) })
  .meta({ id: 'Position', description: 'What a client has seen of a stream; an empty epoch: nothing is known.' });
