import type { CommandArgs } from '@arqonbus/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { seconds, whole } from '../arguments.ts';

/** The start position of a group, as in `group.create`. */
export type GroupStart = NonNullable<CommandArgs<'group.create'>['start']>;

/** Options for creating a group. */
export interface GroupMaking {
  readonly start?: GroupStart;
  readonly ackWaitSeconds?: number;
  readonly maxAttempts?: number;
  readonly key?: string;
}

/** Adds the group options that matter to workers. */
export function withGroupMaking(verb: Command): Command {
  return verb
    .addOption(
      new Option('--start <where>', 'start with "new" events, "all" stored events, SEQ@EPOCH, or a time').argParser(
        parseStart,
      ),
    )
    .addOption(new Option('--ack-wait-seconds <n>', 'time that a worker has for one event').argParser(seconds))
    .addOption(new Option('--max-attempts <n>', 'attempts before an event becomes a dead letter').argParser(whole(1)))
    .option('--key <path>', 'events that share this value stay in order, with one worker: payload.customer');
}

/** The given group settings, as in `group.create`. */
export function makingOf({ start, ackWaitSeconds, maxAttempts, key }: GroupMaking): {
  start: GroupStart | undefined;
  ack_wait_seconds: number | undefined;
  max_attempts: number | undefined;
  key: string | undefined;
} {
  return { start, ack_wait_seconds: ackWaitSeconds, max_attempts: maxAttempts, key };
}

/** `ROOM:CHANNEL` of a source, where the channel may be a pattern; `ROOM` alone is the whole room. */
export function sourceOf(source: string): { room: string; channel: string } {
  const [room = '', channel = '*'] = source.split(':', 2);
  return { room, channel };
}

/** A commander parser: the start position of a group. */
function parseStart(text: string): GroupStart {
  if (text === 'new' || text === 'all') return text;
  const [, sequence, epoch] = /^(\d+)@(\S+)$/.exec(text) ?? [];
  if (sequence !== undefined && epoch !== undefined && Number.isSafeInteger(Number(sequence))) {
    return { sequence: Number(sequence), epoch };
  }
  return { time: parseTime(text) };
}

/** A commander parser: a time, which the bus validates. */
export function parseTime(text: string): string {
  if (/^\d{4}-\d\d-\d\dT/i.test(text)) return text;
  throw new InvalidArgumentError('Write new, all, 42@EPOCH, or a time such as 2026-01-31T12:00:00Z.');
}
