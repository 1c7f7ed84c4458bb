import type { CronJob } from '@arqonbus/protocol';
import { z } from 'zod';
import { COUNT, STAMP } from '../../schemas/fields.ts';

/** A job as returned by op.cron. */
export const CRON_JOB: z.ZodType<CronJob> = z
  .strictObject({
    job_id: z.string(),
    room: z.string(),
    channel: z.string(),
    owner: z.string(),
    durable: z.boolean(),
    delay_seconds: z.number().min(0).nullable(),
    interval_seconds: z.number().min(0).nullable(),
    repeat_count: COUNT.describe('0: until cancelled.'),
    cron: z.string().nullable(),
    timezone: z.string().nullable(),
    catch_up: z.boolean(),
    created_at: STAMP,
    next_run_at: STAMP.nullable(),
    iterations: COUNT,
    missed: COUNT,
  })
  .meta({ id: 'CronJob' });
