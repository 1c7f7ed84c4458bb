import type { Notice } from '@arqonbus/protocol';
import { z } from 'zod';
import { COUNT, POSITION, ROLE, SENDER, SEQUENCE, STAMP } from './fields.ts';
import { PRESENCE_DEPARTURE, PRESENCE_MEMBER, PRESENCE_UPDATE } from './presence.ts';

const NAME = z.string().min(1);
const PLACE = { room: NAME, channel: NAME };

const WELCOME = z
  .strictObject({
    event: z.literal('welcome'),
    welcome: z.string().describe('A greeting for people.'),
    client_id: NAME,
    role: ROLE,
    tenant: NAME,
    room: NAME.nullable().describe('The first membership; null if none was requested.'),
    channel: NAME.nullable(),
    server: z.strictObject({ name: NAME, version: NAME, protocol: NAME, node: NAME, http: NAME.exactOptional() }),
    features: z.array(NAME).describe('Capabilities added after the first version of the protocol.'),
    limits: z.strictObject({ max_message_bytes: COUNT, ping_interval_ms: COUNT }),
    session: NAME.describe(
      'For server-sent events: the id to which this client posts its envelopes. Keep it secret.',
    ).exactOptional(),
  })
  .meta({ id: 'Welcome', description: 'The first frame of every connection.' });

const PRESENCE = z
  .strictObject({
    event: z.literal('presence'),
    room: NAME,
    channel: NAME.describe('`*`: the presence of the whole room, with a channel in each record.'),
    version: COUNT.describe('One more than in the previous notice, or than in the answer to the join.'),
    members: COUNT.describe('The current number of members.'),
    joined: z.array(PRESENCE_MEMBER),
    updated: z.array(PRESENCE_UPDATE),
    left: z.array(PRESENCE_DEPARTURE),
    counts_only: z.literal(true).describe('There are too many members to list; the lists are empty.').exactOptional(),
    reset: z
      .literal(true)
      .describe('`joined` is the whole set and replaces the previous one; the version continues from here.')
      .exactOptional(),
  })
  .meta({
    id: 'PresenceNotice',
    description: 'Members that joined, changed or left; sent to members that requested presence.',
  });

/**
 * The payload of every `system` envelope, by its `event`. Every notice from the server is declared here; the types of
 * both ends and the documents are derived from it.
 */
export const NOTICES: Readonly<Record<Notice['event'], z.ZodType<Notice>>> = {
  welcome: WELCOME,
  shutdown: z
    .strictObject({
      event: z.literal('shutdown'),
      reconnect_after_ms: COUNT.describe('How long this client should wait before it reconnects.'),
    })
    .meta({ id: 'ShutdownNotice', description: 'The server is about to stop.' }),
  token_expiring: z.strictObject({ event: z.literal('token_expiring'), expires_at: STAMP, expires_in_ms: COUNT }).meta({
    id: 'TokenExpiringNotice',
    description: 'The connection ends with its token, unless the token is renewed.',
  }),
  announcement: z
    .strictObject({
      event: z.literal('announcement'),
      announcement_id: NAME,
      announcement: z.record(z.string(), z.unknown()).describe('The content of the announcement.'),
    })
    .meta({ id: 'AnnouncementNotice', description: 'An administrator’s announcement.' }),
  joined: z
    .strictObject({
      event: z.literal('joined'),
      ...PLACE,
      sequence: SEQUENCE,
      epoch: z.string(),
      positions: z.record(z.string(), POSITION).describe('As returned by a join.').exactOptional(),
    })
    .meta({ id: 'JoinedNotice', description: 'An administrator made this client a member.' }),
  membership_revoked: z
    .strictObject({
      event: z.literal('membership_revoked'),
      ...PLACE,
      group: NAME.describe('The group from which it was removed.').exactOptional(),
      reason: z.string(),
    })
    .meta({ id: 'MembershipRevokedNotice', description: 'This client was removed from a channel or room.' }),
  history_gap: z
    .strictObject({
      event: z.literal('history_gap'),
      ...PLACE,
      after_sequence: SEQUENCE.describe('The last sequence before the gap, if known.').exactOptional(),
    })
    .meta({ id: 'HistoryGapNotice', description: 'History does not contain everything that was sent here.' }),
  group_lost: z
    .strictObject({
      event: z.literal('group_lost'),
      ...PLACE,
      group: NAME,
      lost: COUNT.describe('The number; 0 if unknown.'),
    })
    .meta({ id: 'GroupLostNotice', description: 'History removed events before a group read them.' }),
  channel_created: z
    .strictObject({ event: z.literal('channel_created'), ...PLACE, created_by: z.string() })
    .meta({ id: 'ChannelCreatedNotice', description: 'Sent to subscribers of the room.' }),
  channel_deleted: z
    .strictObject({ event: z.literal('channel_deleted'), ...PLACE })
    .meta({ id: 'ChannelDeletedNotice', description: 'Sent to subscribers of the room.' }),
  presence: PRESENCE,
  stream_cancel: z
    .strictObject({
      event: z.literal('stream_cancel'),
      stream_id: NAME,
      ...PLACE,
      by: SENDER.describe('The requester.'),
    })
    .meta({ id: 'StreamCancelNotice', description: 'Sent to the writer of a token stream: a reader asks it to stop.' }),
  store_changed: z
    .strictObject({
      event: z.literal('store_changed'),
      namespace: NAME,
      key: NAME,
      operation: z.enum(['set', 'delete', 'expire']),
      version: COUNT,
      value: z.unknown().exactOptional(),
    })
    .meta({ id: 'StoreNotice', description: 'A key that this connection watches changed.' }),
};
