import type { PresenceDeparture, PresenceMember, PresenceSnapshot, PresenceUpdate } from '@arqonbus/protocol';
import { z } from 'zod';
import { COUNT, SENDER, STAMP_IF_KNOWN } from './fields.ts';

const NAME = z.string().min(1);

const MEMBER = {
  client_id: NAME,
  sender: SENDER,
  state: z.unknown().describe('What it told of itself with the join or `presence_update`; null: nothing.'),
  joined_at: STAMP_IF_KNOWN,
  agent: z
    .strictObject({ state: NAME.exactOptional(), note: NAME.exactOptional() })
    .describe('What it told of itself with `identify`; `lapsed` when it did not say so again in time.')
    .exactOptional(),
  channel: NAME.describe("In a room's presence: where in the room; `*` is a room subscription.").exactOptional(),
};

export const PRESENCE_MEMBER: z.ZodType<PresenceMember> = z.strictObject(MEMBER).meta({ id: 'PresenceMember' });

export const PRESENCE_UPDATE: z.ZodType<PresenceUpdate> = z
  .strictObject({
    ...MEMBER,
    previous_id: NAME.describe('It came back on another connection, in place of this client.').exactOptional(),
  })
  .meta({ id: 'PresenceUpdate' });

export const PRESENCE_DEPARTURE: z.ZodType<PresenceDeparture> = z
  .strictObject({
    ...MEMBER,
    cause: z
      .enum(['left', 'lost', 'node_lost'])
      .describe('It said so; its line broke and it did not come back in time; its node died.'),
  })
  .meta({ id: 'PresenceDeparture' });

export const PRESENCE_SNAPSHOT: z.ZodType<PresenceSnapshot> = z
  .strictObject({
    version: COUNT.describe('The next notice has one more.'),
    members: z.array(PRESENCE_MEMBER).describe('At most 500.'),
    count: COUNT.describe('How many there are, on all nodes.'),
    counts_only: z
      .literal(true)
      .describe('There are more than are told by name: notices give the number alone.')
      .exactOptional(),
  })
  .meta({ id: 'PresenceSnapshot', description: 'Who is there; the notices that follow keep it true.' });
