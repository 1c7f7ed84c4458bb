import {
  BusError,
  type CommandResult,
  type GroupInfo,
  type GroupSummary,
  parseAddress,
  parseTimestamp,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { Sender } from '../connection/session.ts';
import type { DriverInfo } from '../consumers/driver-info.ts';
import { markDead } from '../consumers/envelope.ts';
import {
  GROUP_NAME,
  GROUP_SETTINGS,
  type GroupPlace,
  type GroupRecord,
  type GroupSettings,
} from '../consumers/group.ts';
import { defaultStart, type Start } from '../consumers/start.ts';
import type { Core } from '../core.ts';
import { STORED } from '../schemas/envelopes.ts';
import { COUNT, POSITION, SEQUENCE, STAMP } from '../schemas/fields.ts';
import { limitUpTo, MEMBER_PLACE, placeOf, TIME } from './arguments.ts';
import { type AnyCommand, command, JsonText } from './command.ts';

const MAX_PULL = 500;
const MAX_WAIT_MS = 55_000;
const MAX_PAGE = 500;
const MAX_IDS = 1_000;

/** `group` as in every command. */
export const GROUP: z.ZodString = z
  .string()
  .regex(GROUP_NAME, 'is 1-64 letters, digits, ".", "_" or "-"')
  .describe('Name of the group on its source.');

/** The source and the name of a group. */
const GROUP_PLACE = {
  ...MEMBER_PLACE,
  group: GROUP,
};

const { dead_letter, key, expires_seconds, ...always } = GROUP_SETTINGS;
const GIVEN = {
  ack_wait_seconds: always.ack_wait_seconds.exactOptional(),
  max_attempts: always.max_attempts.exactOptional(),
  backoff_seconds: always.backoff_seconds.exactOptional(),
  max_unacked: always.max_unacked.exactOptional(),
  dead_letter: dead_letter.exactOptional(),
  key: key.exactOptional(),
  expires_seconds: expires_seconds.exactOptional(),
};

const START = z
  .union([
    z.enum(['new', 'all']),
    z.strictObject({ sequence: SEQUENCE, epoch: z.string().min(1).max(64) }),
    z.strictObject({ time: TIME }),
  ])
  .describe('From now on (default), everything stored, after a sequence, or from a time on.');

const NAME = z.string().min(1);
const SUMMARY = {
  room: NAME,
  channel: NAME.describe('A channel, a pattern, or "*" for the whole room.'),
  group: NAME,
  ack_wait_seconds: z.number(),
  max_attempts: COUNT,
  backoff_seconds: z.array(z.number()),
  max_unacked: COUNT,
  dead_letter: z.string().nullable().describe('Null: the same room, the channel\'s name and ".dead".'),
  key: z.string().nullable(),
  expires_seconds: COUNT.nullable(),
  owner: NAME.describe('The identity that created it. It and admins may end it.'),
  created_at: STAMP,
  paused: z.boolean(),
};

const GROUP_SUMMARY: z.ZodType<GroupSummary> = z
  .strictObject(SUMMARY)
  .meta({ id: 'GroupSummary', description: 'A group and its settings.' });

const GROUP_INFO: z.ZodType<GroupInfo> = z
  .strictObject({
    ...SUMMARY,
    position: POSITION.describe('Everything up to here is settled; for a room or a pattern, in its room-wide stream.'),
    positions: z.record(z.string(), POSITION).describe('The same, by channel.'),
    pending: COUNT.describe('Waiting events: unread ones, and those that wait for another attempt.'),
    unacked: COUNT.describe('Events delivered to members and not acknowledged.'),
    oldest_ms: COUNT.nullable().describe('Age of the oldest event that is not settled.'),
    members: COUNT.describe('On all nodes.'),
    dead_letters: COUNT,
    handled: COUNT,
    rejected: COUNT.describe('Events that became dead letters.'),
    expired: COUNT.describe('Events that expired before they were delivered.'),
    lost: COUNT.describe('Events that retention removed before the group read them.'),
  })
  .meta({ id: 'GroupInfo', description: 'A group with its settings, position and counts.' });

interface Source {
  readonly room?: string;
  readonly channel?: string;
}

/** group.*: groups, by the address of their source and their name. */
export function groupCommands(bus: Core): AnyCommand[] {
  const { groups } = bus;
  return [
    command({
      name: 'group.create',
      role: 'user',
      description:
        'Creates a consumer group on a channel, a room or a pattern, or returns an existing one with the same settings.',
      args: z.strictObject({ ...GROUP_PLACE, start: START.exactOptional(), ...GIVEN }),
      result: GROUP_SUMMARY,
      run: async ({ sender }, args): Promise<GroupSummary> => {
        const { room: _room, channel: _channel, group: _group, start, ...given } = args;
        const place = groupPlace(sender, args);
        const begin = start === undefined ? defaultStart(place) : startOf(start);
        return summaryOf(await groups.create(sender, place, given, begin));
      },
    }),
    command({
      name: 'group.list',
      role: 'user',
      description: 'Lists the groups that your grants let you use.',
      args: z.strictObject({
        ...MEMBER_PLACE,
        limit: limitUpTo(MAX_PAGE),
        after: z.string().min(1).max(400).describe('The "next" of the previous answer.').exactOptional(),
      }),
      result: z.strictObject({
        groups: z.array(GROUP_SUMMARY),
        next: z.string().nullable().describe('Pass as "after" for the next page; null at the end.'),
      }),
      run: ({ sender }, args): CommandResult<'group.list'> => {
        const { limit = MAX_PAGE, after } = args;
        const { room, channel } = parseAddress(args.room, args.channel, true, true);
        const all = groups.list(sender, room, channel).filter((one) => after === undefined || one.key > after);
        const page = all.slice(0, limit);
        const next = all.length > limit ? (page[page.length - 1]?.key ?? null) : null;
        return { groups: page.map(({ record }) => summaryOf(record)), next };
      },
    }),
    command({
      name: 'group.info',
      role: 'user',
      description: 'Returns the settings, position and counts of a group.',
      args: z.strictObject(GROUP_PLACE),
      result: GROUP_INFO,
      run: async ({ sender }, args): Promise<GroupInfo> => {
        const { record, info } = await groups.info(sender, groupPlace(sender, args));
        return infoOf(record, info);
      },
    }),
    command({
      name: 'group.seek',
      role: 'user',
      description: 'Moves a group to another position; only for its creator and admins.',
      args: z.strictObject({
        ...GROUP_PLACE,
        sequence: SEQUENCE.describe('The next delivered event is the one after it.').exactOptional(),
        time: TIME.exactOptional(),
      }),
      result: z.strictObject({ sought: z.literal(true) }),
      run: async ({ sender }, args): Promise<CommandResult<'group.seek'>> => {
        const { sequence, time } = args;
        if ((sequence === undefined) === (time === undefined)) {
          throw new BusError('VALIDATION_ERROR', 'Name either "sequence" or "time".', { field: 'sequence' });
        }
        const start = sequence === undefined ? atTime(time as string) : { sequence };
        await groups.seek(sender, groupPlace(sender, args), start);
        return { sought: true };
      },
    }),
    ...(['pause', 'resume'] as const).map((word) =>
      command({
        name: `group.${word}`,
        role: 'user',
        description:
          word === 'pause'
            ? 'Stops delivery of a group until it is resumed; only for its creator and admins.'
            : 'Resumes a paused group; only for its creator and admins.',
        args: z.strictObject(GROUP_PLACE),
        result: z.strictObject({ paused: z.boolean() }),
        run: async ({ sender }, args): Promise<CommandResult<'group.pause'>> => {
          await groups.pause(sender, groupPlace(sender, args), word === 'pause');
          return { paused: word === 'pause' };
        },
      }),
    ),
    command({
      name: 'group.delete',
      role: 'user',
      description: 'Deletes a group with its position and its dead letters; only for its creator and admins.',
      args: z.strictObject(GROUP_PLACE),
      result: z.strictObject({ deleted: z.literal(true) }),
      run: async ({ sender }, args): Promise<CommandResult<'group.delete'>> => {
        await groups.delete(sender, groupPlace(sender, args));
        return { deleted: true };
      },
    }),
    command({
      name: 'group.pull',
      role: 'user',
      waits: true,
      description: 'Takes events of a group without a membership, under leases of the caller.',
      args: z.strictObject({
        ...GROUP_PLACE,
        limit: limitUpTo(MAX_PULL),
        wait_ms: z
          .number()
          .int()
          .min(0)
          .max(MAX_WAIT_MS)
          .describe('How long to wait for the first event (default 0).')
          .exactOptional(),
      }),
      result: z.strictObject({
        messages: z.array(STORED).describe('Each with its token in metadata.delivery.'),
        pending: COUNT.describe('Messages that wait after these.'),
      }),
      run: async ({ sender, signal, releaseTurn }, args): Promise<JsonText> => {
        const { limit = 10, wait_ms = 0 } = args;
        if (wait_ms > 0) releaseTurn();
        const place = groupPlace(sender, args);
        await bus.http.read(sender, place);
        const { texts, pending } = await groups.pull(sender, place, { limit, waitMs: wait_ms, signal });
        // The caller may answer these events on this node.
        for (const text of texts) bus.hops.learn(sender.principal.tenant, text);
        return new JsonText(`{"messages":[${texts.join(',')}],"pending":${pending}}`);
      },
    }),
    command({
      name: 'group.dead_letters',
      role: 'user',
      description: 'Lists the events that used all their attempts or were rejected, oldest first.',
      args: z.strictObject({
        ...GROUP_PLACE,
        limit: limitUpTo(MAX_PAGE),
        after: z.string().min(1).max(200).describe('The "next" of the previous answer.').exactOptional(),
      }),
      result: z.strictObject({
        messages: z.array(STORED).describe('Each with the reason in metadata.dead.'),
        next: z.string().nullable().describe('Pass as "after" for the next page; null at the end.'),
      }),
      run: async ({ sender }, args): Promise<JsonText> => {
        const place = groupPlace(sender, args);
        const { limit = 100, after } = args;
        await bus.http.read(sender, place);
        const { letters, next } = await groups.deadLetters(sender, place, limit, after);
        const { room, group } = place;
        const texts = letters.map(({ text, reason, attempts, channel, sequence }) =>
          markDead(text, { group, reason, attempts, room, channel, sequence }),
        );
        return new JsonText(`{"messages":[${texts.join(',')}],"next":${JSON.stringify(next)}}`);
      },
    }),
    command({
      name: 'group.retry',
      role: 'user',
      description: 'Redelivers dead letters of a group, starting with the first attempt.',
      args: z.strictObject({
        ...GROUP_PLACE,
        ids: z
          .array(z.string().min(1).max(128))
          .min(1)
          .max(MAX_IDS)
          .describe('Ids of messages. Default: all.')
          .exactOptional(),
      }),
      result: z.strictObject({ retried: COUNT }),
      run: async ({ sender }, args): Promise<CommandResult<'group.retry'>> => ({
        retried: await groups.retry(sender, groupPlace(sender, args), args.ids),
      }),
    }),
  ];
}

interface Source {
  readonly room?: string;
  readonly channel?: string;
}

/** The address of a group: `channel` may be a pattern, and is `*` when only a room is given. */
export function groupPlace({ principal }: Sender, args: Source & { readonly group: string }): GroupPlace {
  return { tenant: principal.tenant, ...placeOf(args, true), group: args.group };
}

function startOf(start: z.infer<typeof START>): Start {
  if (typeof start === 'string') return start;
  return 'time' in start ? atTime(start.time) : start;
}

function atTime(text: string): Start {
  const time = parseTimestamp(text);
  if (time !== undefined) return { time };
  throw new BusError('VALIDATION_ERROR', 'That time does not exist.', { field: 'time' });
}

function summaryOf({ room, channel, group, settings, owner, created_at, paused }: GroupRecord): GroupSummary {
  const { backoff_seconds, ...rest }: GroupSettings = settings;
  return {
    room,
    channel,
    group,
    ...rest,
    backoff_seconds: [...backoff_seconds],
    owner,
    created_at: new Date(created_at).toISOString(),
    paused,
  };
}

function infoOf(record: GroupRecord, info: DriverInfo): GroupInfo {
  const { positions, pending, unacked, oldest_ms, members, dead_letters, counts } = info;
  const { handled, rejected, expired, lost } = counts;
  return {
    ...summaryOf(record),
    position: positions[record.channel] ?? { sequence: 0, epoch: '' },
    positions: { ...positions },
    pending,
    unacked,
    oldest_ms,
    members,
    dead_letters,
    handled,
    rejected,
    expired,
    lost,
  };
}
