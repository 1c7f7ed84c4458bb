import { BusError, type CommandResult, type CronJob, newSecretId, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Access } from '../../access.ts';
import { PLACE, placeOf } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import type { Sender } from '../../connection/session.ts';
import { hasRole, type Principal, principalDocument } from '../../principal.ts';
import { COUNT, OBJECT } from '../../schemas/fields.ts';
import { PAGE, pageOf } from '../page.ts';
import { type Job, requirePayload } from './job.ts';
import { CRON_JOB } from './records.ts';
import { readSchedule } from './schedule.ts';
import type { Scheduler } from './scheduler.ts';

const MAX_SECONDS = 31_536_000;
const MIN_INTERVAL_SECONDS = 1;
const MIN_ADMIN_INTERVAL_SECONDS = 0.1;

/** The commands of op.cron. A job is visible only to its owner and to admins of the tenant. */
export function cronCommands(access: Access, scheduler: Scheduler): AnyCommand[] {
  return [
    command({
      name: 'op.cron.schedule',
      role: 'user',
      description: 'Schedules an event: once later, repeatedly, or by a cron expression.',
      args: z.strictObject({
        ...PLACE,
        payload: OBJECT.describe('The payload of the event.'),
        delay_seconds: z.number().min(0).max(MAX_SECONDS).describe('Until the first run (default 1).').exactOptional(),
        interval_seconds: z
          .number()
          .min(MIN_ADMIN_INTERVAL_SECONDS)
          .max(MAX_SECONDS)
          .describe('Between runs: 1 or more, for admins 0.1.')
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
        durable: z
          .boolean()
          .describe('Outlives your connections, and restarts where storage does (admins).')
          .exactOptional(),
        catch_up: z.boolean().describe('Fire once for runs missed while the server was down.').exactOptional(),
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
        access.require(principal, 'publish', room, channel);
        checkInterval(args.interval_seconds, principal);
        const durable = args.durable ?? false;
        checkLifetime(durable, sender, access, scheduler);
        const schedule = readSchedule(args);
        requirePayload(args.payload);
        const job = await scheduler.add(
          {
            id: newSecretId('cron_'),
            tenant: principal.tenant,
            room,
            channel,
            payload: args.payload,
            schedule,
            owner: sender.identity,
            ownerName: principal.subject ?? sender.id,
            principal: principalDocument(principal),
            durable,
            catchUp: args.catch_up ?? false,
          },
          sender.session,
        );
        return scheduler.record(job);
      },
    }),
    command({
      name: 'op.cron.list',
      role: 'user',
      description: 'Lists your jobs; for admins all of the tenant.',
      args: z.strictObject(PAGE),
      result: z.strictObject({ jobs: z.array(CRON_JOB), count: COUNT, next: z.string().exactOptional() }),
      run: ({ sender }, args): CommandResult<'op.cron.list'> => {
        const { principal, identity } = sender;
        const isAdmin = hasRole(principal, 'admin');
        const all = scheduler.of(principal.tenant, isAdmin ? undefined : identity);
        const jobs = isAdmin ? [...all].filter((job) => isVisible(access, job, sender)) : all;
        const placeOf = ({ stored }: Job): string => `${new Date(stored.createdAt).toISOString()}/${stored.id}`;
        const { entries, next } = pageOf(jobs, placeOf, (job) => scheduler.record(job), args);
        return { jobs: entries, count: entries.length, ...(next === undefined ? {} : { next }) };
      },
    }),
    command({
      name: 'op.cron.cancel',
      role: 'user',
      description: 'Cancels a job.',
      args: z.strictObject({ job_id: z.string().min(1).max(128) }),
      result: z.strictObject({ cancelled: z.literal(true), job_id: z.string() }),
      run: async ({ sender }, { job_id }): Promise<CommandResult<'op.cron.cancel'>> => {
        const job = scheduler.find(sender.principal.tenant, job_id);
        if (job === undefined) {
          throw new BusError('NOT_FOUND', 'There is no such job; op.cron.list shows yours.', { field: 'job_id' });
        }
        if (!isVisible(access, job, sender)) {
          throw new BusError('AUTHORIZATION_ERROR', 'The job belongs to somebody else.', { field: 'job_id' });
        }
        await scheduler.remove(job);
        return { cancelled: true, job_id };
      },
    }),
  ];
}

/** The sender's own jobs; for an admin, all that its grants cover. */
function isVisible(access: Access, { stored }: Job, { identity, principal }: Sender): boolean {
  if (stored.owner === identity) return true;
  return hasRole(principal, 'admin') && access.may(principal, 'admin', stored.room, stored.channel);
}

/** The schema has the minimum for any role. */
function checkInterval(seconds: number | undefined, principal: Principal): void {
  if (seconds === undefined || seconds >= MIN_INTERVAL_SECONDS || hasRole(principal, 'admin')) return;
  throw new BusError(
    'VALIDATION_ERROR',
    `"interval_seconds" is ${MIN_INTERVAL_SECONDS} or more; only admins may go down to ${MIN_ADMIN_INTERVAL_SECONDS}.`,
    { field: 'interval_seconds', minimum: MIN_INTERVAL_SECONDS },
  );
}

/** A durable job requires the right to create one; any other ends with its owner's last connection and requires one. */
function checkLifetime(durable: boolean, sender: Sender, access: Access, scheduler: Scheduler): void {
  if (durable) {
    if (access.mayMakeDurable(sender.principal)) return;
    throw new BusError(
      'AUTHORIZATION_ERROR',
      'A durable job needs the role admin, or a token with "durable"; without "durable" it lasts while you are connected.',
      { field: 'durable', required_role: 'admin' },
    );
  }
  if (scheduler.isConnected(sender)) return;
  throw new BusError(
    'VALIDATION_ERROR',
    'A job lasts as long as its owner is connected; without a connection it must be durable.',
    { field: 'durable', expected: true },
  );
}
