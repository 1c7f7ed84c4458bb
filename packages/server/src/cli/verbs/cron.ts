import type { CronJob } from '@arqonbus/protocol';
import { Command, Option } from 'commander';
import { given, parseObject, positive, textOrStdin, whole } from '../arguments.ts';
import { askAndPrint, askAndStay } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import type { StyledText } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface ScheduleOptions extends BusOptions {
  readonly delaySeconds?: number;
  readonly intervalSeconds?: number;
  readonly repeat?: number;
  readonly cron?: string;
  readonly timezone?: string;
  readonly temporary?: boolean;
  readonly catchUp?: boolean;
}

/** `arqon cron`: scheduled events. */
export function cronVerb(): Command {
  const verb = new Command('cron').description('Schedule events, once or repeatedly.');
  for (const child of [scheduleVerb(), listVerb(), cancelVerb()]) verb.addCommand(child);
  return withExamples(verb, `arqon cron schedule lab:beat '{"tick":true}' --interval-seconds 30`, 'arqon cron list');
}

function scheduleVerb(): Command {
  const verb = new Command('schedule')
    .description('Schedule an event.')
    .argument('<target>', 'ROOM:CHANNEL, or ROOM for the whole room')
    .argument('<payload>', 'JSON object, or "-" for standard input');
  withAnswerOptions(verb)
    .addOption(new Option('--delay-seconds <n>', 'delay of the first, in seconds').argParser(positive))
    .addOption(new Option('--interval-seconds <n>', 'every n seconds').argParser(positive))
    .addOption(new Option('--repeat <n>', 'total number of runs; 0: until cancelled').argParser(whole(0)))
    .option('--cron <expression>', 'at the times of a cron expression')
    .option('--timezone <zone>', 'time zone of the expression, such as Europe/Berlin')
    .option('--temporary', 'only while this program runs; without it the job is durable, which needs an admin')
    .option('--catch-up', 'send one event for runs missed while the bus was down');
  withExamples(
    verb,
    `arqon cron schedule lab:beat '{"tick":true}' --interval-seconds 30`,
    `arqon cron schedule lab:news '{"good":"morning"}' --cron '0 8 * * 1-5' --timezone Europe/Berlin`,
    `arqon cron schedule lab:once '{"late":true}' --delay-seconds 60`,
  );
  return verb.action((target: string, text: string, options: ScheduleOptions) => {
    const [room = '', channel] = target.split(':', 2);
    const { delaySeconds, intervalSeconds, repeat, cron, timezone, temporary, catchUp } = options;
    const args = {
      room,
      payload: parseObject(textOrStdin(text), 'the argument <payload>'),
      durable: temporary !== true,
      ...given({
        channel,
        delay_seconds: delaySeconds,
        interval_seconds: intervalSeconds,
        repeat_count: repeat,
        cron,
        timezone,
        catch_up: catchUp,
      }),
    };
    const run = temporary === true ? askAndStay : askAndPrint;
    return run(options, 'op.cron.schedule', args, (job) => jobs([job]));
  });
}

function listVerb(): Command {
  const verb = withAnswerOptions(new Command('list').description('List your jobs; admins see all jobs.'));
  withExamples(verb, 'arqon cron list', 'arqon cron list --json');
  return verb.action((options: BusOptions) => askAndPrint(options, 'op.cron.list', {}, (result) => jobs(result.jobs)));
}

function cancelVerb(): Command {
  const verb = new Command('cancel').description('Cancel a job.').argument('<job>', 'id of the job');
  withExamples(withAnswerOptions(verb), 'arqon cron cancel JOB_ID');
  return verb.action((job_id: string, options: BusOptions) =>
    askAndPrint(options, 'op.cron.cancel', { job_id }, () => `${job_id} cancelled`),
  );
}

function jobs(all: readonly CronJob[]): StyledText {
  return table(
    ['JOB', 'TARGET', 'WHEN', 'NEXT', 'SENT', 'DURABLE'],
    all.map((job) => [
      job.job_id,
      `${job.room}:${job.channel}`,
      when(job),
      job.next_run_at,
      job.iterations,
      job.durable ? 'yes' : 'no',
    ]),
  );
}

function when({ cron, timezone, interval_seconds: interval, delay_seconds: delay }: CronJob): string {
  if (cron !== null) return timezone === null ? cron : `${cron} (${timezone})`;
  return interval === null ? `once, after ${delay ?? 0} s` : `every ${interval} s`;
}
