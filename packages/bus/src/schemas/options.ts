import { MAX_EPOCH_LENGTH, MAX_OPTION_SECONDS, MAX_REQUEST_MS, ROOM_NAME } from '@arqonbus/protocol';
import { z } from 'zod';
import { ID, SEQUENCE, TIMESTAMP } from './fields.ts';

/** `options` as schemas, for documents and other languages; the protocol's `checkOptions` validates actual messages. */
const GROUP = z.string().regex(ROOM_NAME);
const SECONDS = z.number().max(MAX_OPTION_SECONDS);
const TIMEOUT = { timeout_ms: z.int().min(1).max(MAX_REQUEST_MS).describe('How long to wait for an answer.') };
const TTL = SECONDS.gt(0).describe('After this many seconds it is not delivered, replayed or listed.').exactOptional();
const EPHEMERAL = z.boolean().describe('Live only: without a sequence, and not in the history.').exactOptional();

const EXPECTED = z
  .union([
    z.strictObject({ sequence: SEQUENCE, epoch: z.string().max(MAX_EPOCH_LENGTH).exactOptional() }),
    z.strictObject({ last_id: ID }),
  ])
  .meta({ id: 'Expected', description: 'The expected position of the stream; sequence 0: it is empty.' });

export const EVENT_OPTIONS: z.ZodType = z
  .strictObject({
    ttl_seconds: TTL,
    expect: EXPECTED.exactOptional(),
    ephemeral: EPHEMERAL,
    clear: z.boolean().describe("Removes the channel's retained value.").exactOptional(),
    deliver_at: TIMESTAMP.describe('Published at this time, on behalf of its sender.').exactOptional(),
    delay_seconds: SECONDS.min(0).describe('Published after this delay.').exactOptional(),
    receipt: GROUP.describe('The group whose outcome is reported.').exactOptional(),
    request: z.strictObject({ ...TIMEOUT, group: GROUP.exactOptional() }).exactOptional(),
  })
  .meta({ id: 'EventOptions', description: 'How an event is handled; an unknown key is refused.' });

export const PRIVATE_OPTIONS: z.ZodType = z
  .strictObject({
    ttl_seconds: TTL,
    ephemeral: EPHEMERAL,
    receipt: z.literal(true).describe('Requests a receipt.').exactOptional(),
    request: z.strictObject(TIMEOUT).exactOptional(),
  })
  .meta({ id: 'PrivateOptions', description: 'How a private message is handled; an unknown key is refused.' });
