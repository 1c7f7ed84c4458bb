import type { PresenceDeparture, PresenceMember, PresenceSnapshot, PresenceUpdate } from '@arqonbus/protocol';
import { z } from 'zod';
import { COUNT, SENDER, STAMP_IF_KNOWN } from './fields.ts';

const NAME = z.string().min(1);

const MEMBER = {
  client_id: NAME,
  sender: SENDER,
  state: z.unknown().describe('Its state, from the join or `presence_update`; null: none.'),
  joined_at: STAMP_IF_KNOWN,
  agent: z
    .strictObject({ state: NAME.exactOptional(), note: NAME.exactOptional() })
    .describe('Its description from `identify`; `lapsed` if it was not renewed in time.')
    .exactOptional(),
  channel: NAME.describe("In a room's presence: the channel; `*` is a room subscription.").exactOptional(),
};

export const PRESENCE_MEMBER: z.ZodType<PresenceMember> = z.strictObject(MEMBER).meta({ id: 'PresenceMember' });

export const PRESENCE_UPDATE: z.ZodType<PresenceUpdate> = z
  .strictObject({
    ...MEMBER,
    previous_id: NAME.describe('It returned on another connection and replaces this client.').exactOptional(),
  })
  .meta({ id: 'PresenceUpdate' });

export const PRESENCE_DEPARTURE: z.ZodType<PresenceDeparture> = z
  .strictObject({
    ...MEMBER,
    cause: z
      .enum(['left', 'lost', 'node_lost'])
      .describe(
        '`left`: it left; `lost`: its connection broke and it did not return in time; `node_lost`: its node died.',
      ),
  })
  .meta({ id: 'PresenceDeparture' });

export const PRESENCE_SNAPSHOT: z.ZodType<PresenceSnapshot> = z
  .strictObject({
    version: COUNT.describe('The next notice has the following version.'),
    members: z.array(PRESENCE_MEMBER).describe('At most 500.'),
    count: COUNT.describe('The number of members, on all nodes.'),
    counts_only: z
      .literal(true)
      .describe('There are too many members to list; notices contain only the number.')
      .exactOptional(),
  })
  .meta({ id: 'PresenceSnapshot', description: 'The current members; later notices update them.' });
