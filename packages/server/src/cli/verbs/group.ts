import type { Envelope, GroupInfo, GroupSummary } from '@arqonbus/protocol';
import { Command, InvalidArgumentError, Option } from 'commander';
import { collectList, given, seconds, whole } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import { askAndPrint } from '../remote/bus.ts';
import { type GroupMaking, makingOf, parseTime, sourceOf, withGroupMaking } from '../remote/group.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { remark } from '../terminal/output.ts';
import { StyledText, text } from '../terminal/styled-text.ts';
import { pairs, table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface CreateOptions extends BusOptions, GroupMaking {
  readonly backoffSeconds?: readonly number[];
  readonly maxUnacked?: number;
  readonly deadLetter?: string;
  readonly expiresSeconds?: number;
}

interface PageOptions extends BusOptions {
  readonly limit?: number;
  readonly after?: string;
}

/** `arqon group`: consumer groups of a channel. */
export function groupVerb(): Command {
  const verb = new Command('group').description(
    'Create and manage consumer groups, whose workers share the events of a channel. Each event goes to one worker.',
  );
  const children = [createVerb(), listVerb(), infoVerb(), seekVerb(), pauseVerb(), resumeVerb(), deleteVerb()];
  for (const child of [...children, deadLettersVerb(), retryVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon group create shop:orders mailers', 'arqon group info shop:orders mailers');
}

function withGroup(verb: Command): Command {
  return withAnswerOptions(
    verb
      .argument('<source>', 'ROOM:CHANNEL, a pattern such as ROOM:orders.*, or ROOM for the whole room')
      .argument('<group>', 'name of the group'),
  );
}

function createVerb(): Command {
  const verb = new Command('create').description(
    'Create a group. An existing group with the same settings is shown; with other settings the command is refused.',
  );
  withGroupMaking(withGroup(verb))
    .addOption(
      new Option('--backoff-seconds <list>', 'delays before the second, third, … attempt, such as 1,5,30').argParser(
        parseBackoff,
      ),
    )
    .addOption(new Option('--max-unacked <n>', 'maximum number of unacknowledged events').argParser(whole(1)))
    .option('--dead-letter <room:channel>', 'where dead letters are published')
    .addOption(new Option('--expires-seconds <n>', 'delete it after this time without use').argParser(whole(1)));
  withExamples(
    verb,
    'arqon group create shop:orders mailers --start all',
    'arqon group create shop:orders billing --key payload.customer --ack-wait-seconds 60',
  );
  return verb.action((source: string, group: string, options: CreateOptions) => {
    const { backoffSeconds, maxUnacked, deadLetter, expiresSeconds } = options;
    const args = given({
      ...makingOf(options),
      backoff_seconds: backoffSeconds === undefined ? undefined : [...backoffSeconds],
      max_unacked: maxUnacked,
      dead_letter: deadLetter,
      expires_seconds: expiresSeconds,
    });
    return askAndPrint(options, 'group.create', { ...sourceOf(source), group, ...args }, (made) => groups([made]));
  });
}

function listVerb(): Command {
  const verb = new Command('list')
    .description('List the groups that your grants let you use.')
    .argument('[source]', 'only those of ROOM:CHANNEL, or of ROOM');
  withExamples(withPage(withAnswerOptions(verb)), 'arqon group list', 'arqon group list shop --json');
  return verb.action((source: string | undefined, options: PageOptions) => {
    const [room, channel] = source?.split(':', 2) ?? [];
    const { limit, after } = options;
    return askAndPrint(options, 'group.list', given({ room, channel, limit, after }), (result) => {
      tellNext(result.next);
      return groups(result.groups);
    });
  });
}

function infoVerb(): Command {
  const verb = withGroup(new Command('info').description('Print the settings, position and counts of a group.'));
  withExamples(verb, 'arqon group info shop:orders mailers', 'arqon group info shop:orders mailers --json');
  return verb.action((source: string, group: string, options: BusOptions) =>
    askAndPrint(options, 'group.info', { ...sourceOf(source), group }, (info) => facts(info)),
  );
}

function seekVerb(): Command {
  const verb = withGroup(
    new Command('seek').description('Move a group to another position. Events that its workers hold are returned.'),
  )
    .addOption(new Option('--sequence <n>', 'continue with the event after this sequence').argParser(whole(0)))
    .addOption(new Option('--time <time>', 'continue with events accepted from this time on').argParser(parseTime));
  withExamples(
    verb,
    'arqon group seek shop:orders mailers --sequence 0',
    'arqon group seek shop:orders mailers --time 2026-01-31T12:00:00Z',
  );
  return verb.action((source: string, group: string, options: BusOptions & { sequence?: number; time?: string }) => {
    const { sequence, time } = options;
    if ((sequence === undefined) === (time === undefined)) throw new UsageError('give either --sequence or --time.');
    const args = { ...sourceOf(source), group, ...given({ sequence, time }) };
    return askAndPrint(options, 'group.seek', args, () => text`${group} goes on from ${sequence ?? time ?? ''}`);
  });
}

function pauseVerb(): Command {
  const verb = withGroup(new Command('pause').description('Stop delivery until the group is resumed.'));
  withExamples(verb, 'arqon group pause shop:orders mailers');
  return verb.action((source: string, group: string, options: BusOptions) =>
    askAndPrint(options, 'group.pause', { ...sourceOf(source), group }, () => text`${group} is paused`),
  );
}

function resumeVerb(): Command {
  const verb = withGroup(new Command('resume').description('Resume a paused group.'));
  withExamples(verb, 'arqon group resume shop:orders mailers');
  return verb.action((source: string, group: string, options: BusOptions) =>
    askAndPrint(options, 'group.resume', { ...sourceOf(source), group }, () => text`${group} goes on`),
  );
}

function deleteVerb(): Command {
  const verb = withGroup(new Command('delete').description('Delete a group with its position and its dead letters.'));
  withExamples(verb, 'arqon group delete shop:orders mailers');
  return verb.action((source: string, group: string, options: BusOptions) =>
    askAndPrint(options, 'group.delete', { ...sourceOf(source), group }, () => text`${group} deleted`),
  );
}

function deadLettersVerb(): Command {
  const verb = withGroup(
    new Command('dead-letters').description('List events that used all their attempts or were rejected, oldest first.'),
  );
  withExamples(
    withPage(verb),
    'arqon group dead-letters shop:orders mailers',
    'arqon group dead-letters shop:orders mailers --json',
  );
  return verb.action((source: string, group: string, options: PageOptions) => {
    const { limit, after } = options;
    const args = { ...sourceOf(source), group, ...given({ limit, after }) };
    return askAndPrint(options, 'group.dead_letters', args, ({ messages, next }) => {
      tellNext(next);
      return deadLetters(messages as unknown as readonly Envelope[]);
    });
  });
}

function retryVerb(): Command {
  const verb = withGroup(
    new Command('retry').description('Redeliver dead letters: those with these ids, or all.'),
  ).argument('[ids...]', 'ids of messages');
  withExamples(verb, 'arqon group retry shop:orders mailers', 'arqon group retry shop:orders mailers arq_0123');
  return verb.action((source: string, group: string, ids: string[], options: BusOptions) => {
    const args = { ...sourceOf(source), group, ...(ids.length === 0 ? {} : { ids }) };
    return askAndPrint(options, 'group.retry', args, ({ retried }) => text`${retried} handed out again`);
  });
}

function withPage(verb: Command): Command {
  return verb
    .addOption(new Option('--limit <n>', 'at most n').argParser(whole(1)))
    .option('--after <place>', 'continue where another list ended');
}

function tellNext(next: string | null | undefined): void {
  if (next !== null && next !== undefined) {
    remark(text`there are more; go on with --after ${StyledText.json(next)}.`);
  }
}

/** A commander parser: `1,5,30`. */
function parseBackoff(list: string): readonly number[] {
  return collectList(list, undefined).map((part) => {
    if (part === '0') return 0;
    try {
      return seconds(part);
    } catch {
      throw new InvalidArgumentError('Write seconds, separated by commas: 1,5,30.');
    }
  });
}

function groups(all: readonly GroupSummary[]): StyledText {
  return table(
    ['GROUP', 'SOURCE', 'KEY', 'ATTEMPTS', 'ACK WAIT', 'OWNER', 'PAUSED'],
    all.map(({ group, room, channel, key, max_attempts, ack_wait_seconds, owner, paused }) => [
      group,
      `${room}:${channel}`,
      key,
      max_attempts,
      ack_wait_seconds,
      owner,
      paused ? 'yes' : 'no',
    ]),
  );
}

function facts(info: GroupInfo): StyledText {
  const { positions } = info;
  const where = Object.entries(Object(positions) as typeof positions).map(
    ([channel, { sequence, epoch }]) => text`${channel} ${sequence}@${epoch}`,
  );
  return pairs([
    ['group', info.group],
    ['source', `${info.room}:${info.channel}`],
    ['settled up to', StyledText.join(where, ', ')],
    ['pending', info.pending],
    ['unacked', info.unacked],
    ['oldest', info.oldest_ms === null ? null : `${info.oldest_ms} ms`],
    ['members', info.members],
    ['handled', info.handled],
    ['dead letters', info.dead_letters],
    ['rejected', info.rejected],
    ['expired', info.expired],
    ['lost', info.lost],
    ['paused', info.paused ? 'yes' : 'no'],
    ['key', info.key],
    ['ack wait', `${info.ack_wait_seconds} s`],
    ['attempts', info.max_attempts],
    ['backoff', `${info.backoff_seconds} s`],
    ['max unacked', info.max_unacked],
    ['dead letters go to', info.dead_letter ?? `${info.room}:${info.channel}.dead`],
    ['expires', info.expires_seconds === null ? null : `${info.expires_seconds} s`],
    ['owner', info.owner],
    ['created', info.created_at],
  ]);
}

/** The outcome of an event, from its metadata. */
interface Dead {
  readonly reason?: string;
  readonly attempts?: number;
  readonly channel?: string;
  readonly sequence?: number;
}

function deadLetters(all: readonly Envelope[]): StyledText {
  return table(
    ['MESSAGE', 'CHANNEL', 'SEQUENCE', 'ATTEMPTS', 'REASON', 'PAYLOAD'],
    all.map(({ id, payload, metadata }) => {
      const { channel, sequence, attempts, reason } = Object((metadata as { dead?: Dead } | undefined)?.dead) as Dead;
      return [id, channel, sequence, attempts, reason, StyledText.json(payload)];
    }),
  );
}
