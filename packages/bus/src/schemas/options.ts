import { MAX_EPOCH_LENGTH, MAX_OPTION_SECONDS, MAX_REQUEST_MS, ROOM_NAME } from '@arqonbus/protocol';
import { z } from 'zod';
import { ID, SEQUENCE, TIMESTAMP } from './fields.ts';

/** `options` as schemas, for documents and other languages; `checkOptions` of the protocol judges what is sent. */
const GROUP = z.string().regex(ROOM_NAME);
const SECONDS = z.number().max(MAX_OPTION_SECONDS);
const TIMEOUT = { timeout_ms: z.int().min(1).max(MAX_REQUEST_MS).describe('How long an answer is waited for.') };
const TTL = SECONDS.gt(0).describe('Neither delivered, replayed nor listed after so many seconds.').exactOptional();
const EPHEMERAL = z.boolean().describe('Live only: it has no sequence and no history keeps it.').exactOptional();

const EXPECTED = z
  .union([
    z.strictObject({ sequence: SEQUENCE, epoch: z.string().max(MAX_EPOCH_LENGTH).exactOptional() }),
    z.strictObject({ last_id: ID }),
  ])
  .meta({ id: 'Expected', description: 'Where the stream has to stand; sequence 0: it is empty.' });

export const EVENT_OPTIONS: z.ZodType = z
  .strictObject({
    ttl_seconds: TTL,
    expect: EXPECTED.exactOptional(),
    ephemeral: EPHEMERAL,
    clear: z.boolean().describe("Takes the channel's retained value away.").exactOptional(),
    deliver_at: TIMESTAMP.describe('Published then, as if its sender did.').exactOptional(),
    delay_seconds: SECONDS.min(0).describe('Published so much later.').exactOptional(),
    receipt: GROUP.describe('The group whose handling of it is told.').exactOptional(),
    request: z.strictObject({ ...TIMEOUT, group: GROUP.exactOptional() }).exactOptional(),
  })
  .meta({ id: 'EventOptions', description: 'How an event is to be treated; an unknown key is refused.' });

export const PRIVATE_OPTIONS: z.ZodType = z
  .strictObject({
    ttl_seconds: TTL,
    ephemeral: EPHEMERAL,
    receipt: z.literal(true).describe('Asks to be told when it was handled.').exactOptional(),
    request: z.strictObject(TIMEOUT).exactOptional(),
  })
  .meta({ id: 'PrivateOptions', description: 'How a private message is to be treated; an unknown key is refused.' });
