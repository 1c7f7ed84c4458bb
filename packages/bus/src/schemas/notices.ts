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
    room: NAME.nullable().describe('The first membership; null when none was asked for.'),
    channel: NAME.nullable(),
    server: z.strictObject({ name: NAME, version: NAME, protocol: NAME, node: NAME, http: NAME.exactOptional() }),
    features: z.array(NAME).describe('What the server can do beyond the first parts of the protocol.'),
    limits: z.strictObject({ max_message_bytes: COUNT, ping_interval_ms: COUNT }),
    session: NAME.describe('Over SSE: what this client posts its envelopes to. A secret of its own.').exactOptional(),
  })
  .meta({ id: 'Welcome', description: 'The first frame of every connection.' });

const PRESENCE = z
  .strictObject({
    event: z.literal('presence'),
    room: NAME,
    channel: NAME.describe('`*`: the presence of the whole room, whose records name their channel.'),
    version: COUNT.describe('One more than in the notice before, or than in the answer to the join.'),
    members: COUNT.describe('How many there are now.'),
    joined: z.array(PRESENCE_MEMBER),
    updated: z.array(PRESENCE_UPDATE),
    left: z.array(PRESENCE_DEPARTURE),
    counts_only: z
      .literal(true)
      .describe('There are too many to be told by name; the lists are empty.')
      .exactOptional(),
    reset: z
      .literal(true)
      .describe('`joined` is the whole set, in place of what was known; the version counts on from here.')
      .exactOptional(),
  })
  .meta({ id: 'PresenceNotice', description: 'Who came, changed and went; to members that asked for presence.' });

/**
 * The payload of every `system` envelope, by its `event`. Whatever the server tells its clients unasked is declared
 * here; the types of both ends and the documents are made from it.
 */
export const NOTICES: Readonly<Record<Notice['event'], z.ZodType<Notice>>> = {
  welcome: WELCOME,
  shutdown: z
    .strictObject({
      event: z.literal('shutdown'),
      reconnect_after_ms: COUNT.describe('How long this client should wait before it connects again.'),
    })
    .meta({ id: 'ShutdownNotice', description: 'The server is about to stop.' }),
  token_expiring: z
    .strictObject({ event: z.literal('token_expiring'), expires_at: STAMP, expires_in_ms: COUNT })
    .meta({ id: 'TokenExpiringNotice', description: 'The connection ends with its token, unless that is renewed.' }),
  announcement: z
    .strictObject({
      event: z.literal('announcement'),
      announcement_id: NAME,
      announcement: z.record(z.string(), z.unknown()).describe('What the administrator said.'),
    })
    .meta({ id: 'AnnouncementNotice', description: 'An administrator’s word to all who are there.' }),
  joined: z
    .strictObject({
      event: z.literal('joined'),
      ...PLACE,
      sequence: SEQUENCE,
      epoch: z.string(),
      positions: z.record(z.string(), POSITION).describe('As a join answers them.').exactOptional(),
    })
    .meta({ id: 'JoinedNotice', description: 'An administrator made this client a member.' }),
  membership_revoked: z
    .strictObject({
      event: z.literal('membership_revoked'),
      ...PLACE,
      group: NAME.describe('The group that it was taken out of.').exactOptional(),
      reason: z.string(),
    })
    .meta({ id: 'MembershipRevokedNotice', description: 'This client was taken out of a channel or room.' }),
  history_gap: z
    .strictObject({
      event: z.literal('history_gap'),
      ...PLACE,
      after_sequence: SEQUENCE.describe('The last sequence before the gap, when it is known.').exactOptional(),
    })
    .meta({ id: 'HistoryGapNotice', description: 'History does not hold all that was sent here.' }),
  group_lost: z
    .strictObject({
      event: z.literal('group_lost'),
      ...PLACE,
      group: NAME,
      lost: COUNT.describe('How many; 0 when nobody knows.'),
    })
    .meta({ id: 'GroupLostNotice', description: 'History dropped events before a group had read them.' }),
  channel_created: z
    .strictObject({ event: z.literal('channel_created'), ...PLACE, created_by: z.string() })
    .meta({ id: 'ChannelCreatedNotice', description: 'To those who subscribe to the room.' }),
  channel_deleted: z
    .strictObject({ event: z.literal('channel_deleted'), ...PLACE })
    .meta({ id: 'ChannelDeletedNotice', description: 'To those who subscribe to the room.' }),
  presence: PRESENCE,
  stream_cancel: z
    .strictObject({
      event: z.literal('stream_cancel'),
      stream_id: NAME,
      ...PLACE,
      by: SENDER.describe('Who asks for it.'),
    })
    .meta({ id: 'StreamCancelNotice', description: 'To whoever writes a token stream: a reader asks it to stop.' }),
  store_changed: z
    .strictObject({
      event: z.literal('store_changed'),
      namespace: NAME,
      key: NAME,
      operation: z.enum(['set', 'delete', 'expire']),
      version: COUNT,
      value: z.unknown().exactOptional(),
    })
    .meta({ id: 'StoreNotice', description: 'A key changed that this connection watches.' }),
};
