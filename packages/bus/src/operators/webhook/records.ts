import type { DeadLetter, WebhookRule } from '@arqonbus/protocol';
import { z } from 'zod';
import { COUNT, OBJECT, STAMP } from '../../schemas/fields.ts';
import { RULE_EVENTS } from './rule.ts';

/** A rule as returned by op.webhook. */
export const WEBHOOK_RULE: z.ZodType<WebhookRule> = z
  .strictObject({
    rule_id: z.string(),
    url: z.string(),
    room: z.string().nullable().describe('Null: all rooms.'),
    channel: z.string().nullable().describe('Null: all channels.'),
    owner: z.string(),
    timeout_seconds: z.number().min(0),
    durable: z.boolean(),
    signed: z.boolean(),
    on: z.array(z.enum(RULE_EVENTS)),
    created_at: STAMP,
    queued: COUNT,
    delivered: COUNT,
    failed: COUNT,
    dropped: COUNT,
    dead_letters: COUNT,
  })
  .meta({ id: 'WebhookRule' });

/** A delivery that was given up. */
export const DEAD_LETTER: z.ZodType<DeadLetter> = z
  .strictObject({
    delivery_id: z.string(),
    attempts: COUNT,
    last_error: z.string(),
    failed_at: STAMP,
    envelope: OBJECT,
  })
  .meta({ id: 'DeadLetter' });
