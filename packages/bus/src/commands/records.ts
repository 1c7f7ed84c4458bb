import type {
  ChannelRecord,
  ChannelSummary,
  ClientRecord,
  CommandDescription,
  HistoryEntry,
  JoinResult,
  JsonObject,
  MemberRecord,
  ServerStatus,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { CARD } from '../schemas/card.ts';
import { STORED } from '../schemas/envelopes.ts';
import {
  CLIENT_TYPE,
  COUNT,
  OBJECT,
  POSITION,
  ROLE,
  SENDER,
  SEQUENCE,
  STAMP,
  STAMP_IF_KNOWN,
} from '../schemas/fields.ts';
import { PRESENCE_SNAPSHOT } from '../schemas/presence.ts';

const NAME = z.string().min(1);
/** The size of a stream; absent during a storage outage. */
const USAGE = {
  events: COUNT.describe('Stored events; absent during a storage outage.').exactOptional(),
  bytes: COUNT.describe(
    'UTF-8 bytes of these, as counted by `history.bytes` of a rule; absent during a storage outage.',
  ).exactOptional(),
};
const TEXT_OR_NULL = z.string().nullable();

/** The results of core commands. The types of `@arqonbus/protocol` are generated from these, by their ids. */

export const CLIENT_RECORD: z.ZodType<ClientRecord> = z
  .strictObject({
    client_id: NAME,
    client_type: CLIENT_TYPE,
    screen_name: TEXT_OR_NULL,
    avatar: TEXT_OR_NULL,
    personality: TEXT_OR_NULL,
    sender: SENDER.describe('The sender, as receivers see it.'),
    rooms: z
      .record(z.string(), z.array(z.string()))
      .describe('Room name to the channels joined there; `*` is a room subscription.'),
    connected_at: STAMP,
    last_activity: STAMP,
    node: NAME,
    card: CARD.describe('Its own description; only in searches for clients.').exactOptional(),
    state: NAME.describe('As set by the client; `lapsed` if it was not renewed in time.').exactOptional(),
    note: NAME.exactOptional(),
  })
  .meta({ id: 'ClientRecord', description: 'The public record of a connected client.' });

export const CHANNEL_SUMMARY: z.ZodType<ChannelSummary> = z
  .strictObject({
    room: NAME,
    channel: NAME,
    members: COUNT.describe('How many clients are members, in the whole cluster.'),
    created_at: STAMP_IF_KNOWN.describe('Empty if only another node knows it.'),
    type: NAME,
    hardcoded: z.boolean().describe('Built in: cannot be deleted.'),
    sequence: SEQUENCE.describe(
      'The last that was given; in `status` it and what is kept are left out.',
    ).exactOptional(),
    ...USAGE,
  })
  .meta({ id: 'ChannelSummary' });

const CHANNEL = {
  room: NAME,
  channel: NAME,
  created_at: STAMP,
  created_by: z.string(),
  type: NAME,
  hardcoded: z.boolean().describe('Built in: cannot be deleted.'),
  auto_created: z.boolean().describe('Created by a join or an event, not by create_channel.'),
  description: TEXT_OR_NULL,
  history: z.strictObject({ size: COUNT, ttl_seconds: z.number().min(0) }),
  retain: z.boolean().describe('Whether an automatically created channel outlives its members.'),
};

export const CHANNEL_RECORD: z.ZodType<ChannelRecord> = z.strictObject(CHANNEL).meta({ id: 'ChannelRecord' });

const MEMBER: z.ZodType<MemberRecord> = z
  .strictObject({
    client_id: NAME,
    client_type: CLIENT_TYPE,
    screen_name: TEXT_OR_NULL,
    sender: SENDER,
    joined_at: STAMP_IF_KNOWN.describe('Empty if only another node knows it.'),
  })
  .meta({ id: 'MemberRecord' });

export const CHANNEL_INFO: z.ZodType<
  ChannelRecord & {
    sequence: number;
    epoch: string;
    events?: number;
    bytes?: number;
    members: MemberRecord[];
    count: number;
    schema?: JsonObject;
  }
> = z.strictObject({
  ...CHANNEL,
  members: z.array(MEMBER).describe('The first 500.'),
  count: COUNT.describe('Members, on all nodes.'),
  sequence: SEQUENCE.describe('The position of the stream.'),
  epoch: z.string(),
  ...USAGE,
  schema: OBJECT.describe('The JSON Schema that a rule sets for its events.').exactOptional(),
});

export const SERVER_STATUS: z.ZodType<ServerStatus> = z
  .strictObject({
    server: z.strictObject({
      name: NAME,
      version: NAME,
      protocol: NAME,
      uptime_seconds: COUNT,
      node: NAME,
    }),
    connections: z.strictObject({ total: COUNT, active: COUNT }),
    rooms: z.strictObject({ active: COUNT }),
    channels: z.strictObject({ active: COUNT }),
    messages: z.strictObject({ total: COUNT, rate_per_minute: z.number().min(0) }),
    storage: z.strictObject({ backend: NAME, healthy: z.boolean() }),
    channels_detail: z.array(CHANNEL_SUMMARY).describe('For admins.').exactOptional(),
    clients: z.array(CLIENT_RECORD).describe('For admins.').exactOptional(),
  })
  .meta({ id: 'ServerStatus' });

export const COMMAND_DESCRIPTION: z.ZodType<CommandDescription> = z
  .strictObject({
    name: NAME,
    aliases: z.array(NAME),
    description: NAME,
    role: ROLE.describe('The lowest role that may call it.'),
    args: OBJECT.describe('JSON Schema (2020-12) of `args`.'),
    result: OBJECT.describe('JSON Schema of the answer; only if one command was requested.').exactOptional(),
  })
  .meta({ id: 'CommandDescription' });

export const HISTORY_ENTRY: z.ZodType<HistoryEntry> = z
  .strictObject({
    envelope: STORED,
    stored_at: STAMP,
    storage_metadata: z.strictObject({ backend: NAME, sequence: SEQUENCE, epoch: z.string() }),
  })
  .meta({ id: 'HistoryEntry' });

export const JOIN_RESULT: z.ZodType<JoinResult> = z
  .strictObject({
    room: NAME,
    channel: NAME,
    scope: z
      .enum(['matching', 'granted'])
      .describe(
        '`matching`: all channels that match the pattern; `granted`: the part of the room that the grants cover.',
      )
      .exactOptional(),
    sequence: SEQUENCE.describe(
      'The last sequence before live traffic; for a room or pattern, that of the room-wide stream.',
    ),
    epoch: z.string().describe("Empty during a storage outage, when the stream's epoch is unknown."),
    members: COUNT,
    group: NAME.describe('The group that was joined; its members are counted.').exactOptional(),
    recovered: z
      .boolean()
      .describe('Only with `since`: whether every missed envelope follows. False: reload.')
      .exactOptional(),
    positions: z
      .record(z.string(), POSITION)
      .describe('The positions of the channel and the room-wide stream (`*`); for a room, of all its channels.')
      .exactOptional(),
    presence: PRESENCE_SNAPSHOT.describe('Only with `presence`: the current members.').exactOptional(),
  })
  .meta({ id: 'JoinResult' });
