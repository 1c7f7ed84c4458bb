import { BusError, type CommandResult, type CronJob, newSecretId, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { PLACE, placeOf } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import type { Sender } from '../../connection/session.ts';
import { hasRole, may } from '../../principal.ts';
import { forbidden } from '../../publish.ts';
import type { Clock } from '../clock.ts';
import type { Job } from './job.ts';
import { CRON_JOB } from './records.ts';
import { readSchedule } from './schedule.ts';
import type { Scheduler } from './scheduler.ts';

const MAX_SECONDS = 31_536_000;
const MIN_INTERVAL_SECONDS = 0.1;
const MAX_PAYLOAD_BYTES = 65_536;

/** The commands of op.cron. A job is its owner's: others do not see it, admins of the tenant do. */
export function cronCommands(scheduler: Scheduler, maxJobs: number, clock: Clock): AnyCommand[] {
  return [
    command({
      name: 'op.cron.schedule',
      role: 'user',
      description: 'Publishes an event later, repeatedly, or as a cron expression says.',
      args: z.strictObject({
        ...PLACE,
        payload: z.record(z.string(), z.unknown()).describe('What the event carries.'),
        delay_seconds: z.number().min(0).max(MAX_SECONDS).describe('Until the first run (default 1).').exactOptional(),
        interval_seconds: z
          .number()
          .min(MIN_INTERVAL_SECONDS)
          .max(MAX_SECONDS)
          .describe('Between runs.')
          .exactOptional(),
        repeat_count: z
          .number()
          .int()
          .min(0)
          .max(1_000_000_000)
          .describe('Runs (default 1); 0: until cancelled.')
          .exactOptional(),
        cron: z.string().min(1).max(256).describe('Five fields, or six with seconds first.').exactOptional(),
        timezone: z.string().min(1).max(64).describe('IANA name for "cron" (default UTC).').exactOptional(),
        durable: z.boolean().describe('Outlives its owner, and a restart with durable storage.').exactOptional(),
        catch_up: z.boolean().describe('Fire once for what was missed while down.').exactOptional(),
      }),
      result: CRON_JOB,
      run: async ({ sender }, args): Promise<CronJob> => {
        const { principal } = sender;
        const { room, channel } = placeOf(args);
        if (room === WILDCARD || channel === PRIVATE_CHANNEL) {
          throw new BusError('VALIDATION_ERROR', 'A job publishes to a channel, or with a room alone to all of it.', {
            field: room === WILDCARD ? 'room' : 'channel',
          });
        }
        if (!may(principal, 'publish', room, channel)) throw forbidden(room, channel);
        const schedule = readSchedule(args);
        const bytes = Buffer.byteLength(JSON.stringify(args.payload));
        if (bytes > MAX_PAYLOAD_BYTES) {
          throw new BusError('LIMIT_EXCEEDED', `A job's payload has at most ${MAX_PAYLOAD_BYTES} bytes.`, {
            field: 'payload',
            limit: MAX_PAYLOAD_BYTES,
          });
        }
        if (scheduler.count(principal.tenant) >= maxJobs) {
          throw new BusError('LIMIT_EXCEEDED', `The tenant has ${maxJobs} jobs; cancel some first.`, {
            limit: maxJobs,
          });
        }
        const job = await scheduler.add({
          id: newSecretId('cron_'),
          tenant: principal.tenant,
          room,
          channel,
          payload: args.payload,
          schedule,
          owner: sender.identity,
          ownerName: principal.subject ?? sender.id,
          role: principal.role,
          publish: principal.publish === null ? null : principal.publish.patterns,
          durable: args.durable ?? false,
          catchUp: args.catch_up ?? false,
          createdAt: clock.now(),
          iterations: 0,
          missed: 0,
          lastDue: null,
        });
        return job.record();
      },
    }),
    command({
      name: 'op.cron.list',
      role: 'user',
      description: 'Lists your jobs; for admins all of the tenant.',
      args: z.strictObject({}),
      result: z.strictObject({ jobs: z.array(CRON_JOB) }),
      run: ({ sender }): CommandResult<'op.cron.list'> => {
        const jobs = scheduler.of(sender.principal.tenant).filter((job) => isVisible(job, sender));
        return { jobs: jobs.map((job) => job.record()) };
      },
    }),
    command({
      name: 'op.cron.cancel',
      role: 'user',
      description: 'Ends a job.',
      args: z.strictObject({ job_id: z.string().min(1).max(128) }),
      result: z.strictObject({ cancelled: z.literal(true), job_id: z.string() }),
      run: async ({ sender }, { job_id }): Promise<CommandResult<'op.cron.cancel'>> => {
        const job = scheduler.find(sender.principal.tenant, job_id);
        if (job === undefined) {
          throw new BusError('NOT_FOUND', 'There is no such job; list shows those that are.', { field: 'job_id' });
        }
        if (!isVisible(job, sender)) {
          throw new BusError('AUTHORIZATION_ERROR', 'The job belongs to somebody else.', { field: 'job_id' });
        }
        await scheduler.remove(job);
        return { cancelled: true, job_id };
      },
    }),
  ];
}

function isVisible(job: Job, sender: Sender): boolean {
  return job.stored.owner === sender.identity || hasRole(sender.principal, 'admin');
}
