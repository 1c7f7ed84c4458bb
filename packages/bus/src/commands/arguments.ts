import {
  type Address,
  BusError,
  CHANNEL_NAME,
  isChannelName,
  isRoomName,
  type Position,
  parseAddress,
  TIMESTAMP,
  WILDCARD,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { MAX_PAGE, type Page } from '../directory.ts';
import {
  CHANNEL_FIELD,
  LONG_PATTERN,
  MEMBERSHIP_FIELD,
  MEMBERSHIP_ROOM_FIELD,
  POSITION,
  READ_FIELD,
  READ_ROOM_FIELD,
  ROOM_FIELD,
} from '../schemas/fields.ts';

const MAX_STREAMS = 1_000;
const STREAM_NAME = new RegExp(`${CHANNEL_NAME.source}|^\\*$`);
/** At most two names, or the room and channel of a mailbox. */
const MAX_NAME = 1_030;
const NAME = z.string().min(1).max(MAX_NAME);

/** Whether an argument is a name as in {@link PLACE}. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= MAX_NAME;
}

/** `room` and `channel` as in every command: names, or `room:channel` in either. */
export const PLACE: {
  readonly room: z.ZodExactOptional<z.ZodString>;
  readonly channel: z.ZodExactOptional<z.ZodString>;
} = {
  // The patterns are for documents: parseAddress checks names, with better error messages.
  room: NAME.meta({ pattern: ROOM_FIELD.source, description: 'Room name, or room:channel.' }).exactOptional(),
  channel: NAME.meta({ pattern: CHANNEL_FIELD.source, description: 'Channel name, or room:channel.' }).exactOptional(),
};

/** A date-time as in envelopes; `parseTimestamp` converts it to milliseconds. */
export const TIME: z.ZodString = z
  .string()
  .regex(TIMESTAMP, 'must be RFC 3339, like 2026-01-31T12:00:00Z')
  .describe('RFC 3339 date-time; UTC without an offset.');

/** `limit` of lists: larger values are refused, not clipped. */
export function limitUpTo(maximum: number): z.ZodExactOptional<z.ZodNumber> {
  return z.number().int().min(1).max(maximum).describe(`At most ${maximum}.`).exactOptional();
}

/** `limit` and `after` of lists by name. */
export const PAGE: {
  readonly limit: z.ZodExactOptional<z.ZodNumber>;
  readonly after: z.ZodExactOptional<z.ZodString>;
} = {
  limit: limitUpTo(MAX_PAGE),
  after: NAME.describe('The "next" of the previous answer.').exactOptional(),
};

export function pageOf({ limit = MAX_PAGE, after }: { readonly limit?: number; readonly after?: string }): Page {
  return { limit, after };
}

/** The same for readable places, which include mailboxes. */
export const READ_PLACE: typeof PLACE = {
  room: NAME.meta({ pattern: READ_ROOM_FIELD.source, description: 'Room name, or room:channel.' }).exactOptional(),
  channel: NAME.meta({ pattern: READ_FIELD.source, description: 'Channel name, or room:channel.' }).exactOptional(),
};

/** The same for places that a client can be a member of. */
export const MEMBER_PLACE: typeof PLACE = {
  room: NAME.meta({
    pattern: MEMBERSHIP_ROOM_FIELD.source,
    not: LONG_PATTERN,
    description: 'Room name, or room:channel.',
  }).exactOptional(),
  channel: NAME.meta({
    pattern: MEMBERSHIP_FIELD.source,
    not: LONG_PATTERN,
    description: 'Channel name, room:channel, or a pattern: `*` matches one segment, a final `>` the rest.',
  }).exactOptional(),
};

/**
 * The address in `room` and `channel`; a room alone means all of it (`*`).
 *
 * @param patterns whether patterns and mailboxes are allowed
 */
export function placeOf(args: { readonly room?: string; readonly channel?: string }, patterns = false): Address {
  const { room, channel } = parseAddress(args.room, args.channel, patterns, patterns);
  if (room === undefined) throw missing('room');
  return { room, channel: channel ?? WILDCARD };
}

/** A room, and its channel if given (`*`: the room-wide stream). */
export function roomOf(args: { readonly room?: string; readonly channel?: string }): {
  room: string;
  channel: string | undefined;
} {
  const { room, channel } = parseAddress(args.room, args.channel, false, true);
  if (room === undefined) throw missing('room');
  return { room, channel };
}

/** A map of values by channel name, for the streams of a room. */
export function streamMap<T>(value: z.ZodType<T>): z.ZodType<Record<string, T>> {
  return z
    .record(z.string().regex(STREAM_NAME, 'keys are channel names or "*"'), value)
    .refine((map) => Object.keys(map).length <= MAX_STREAMS, `must have at most ${MAX_STREAMS} keys`)
    .meta({ maxProperties: MAX_STREAMS, description: 'For a room: by channel name.' });
}

/** The read positions of a room's streams. */
export const POSITIONS: z.ZodType<Record<string, Position>> = streamMap(POSITION);

/** The same for commands about one concrete channel. */
export function channelOf(args: { readonly room?: string; readonly channel?: string }): Address {
  const { room, channel } = parseAddress(args.room, args.channel);
  if (room === undefined || !isRoomName(room)) throw missing('room');
  if (channel === undefined || !isChannelName(channel)) throw missing('channel');
  return { room, channel };
}

function missing(field: 'room' | 'channel'): BusError {
  return new BusError('VALIDATION_ERROR', `Name the ${field}.`, { field, expected: 'name, or room:channel' });
}
