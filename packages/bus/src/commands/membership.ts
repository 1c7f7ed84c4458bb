import { BusError, CHANNEL_NAME, type CommandResult, type JoinResult, type Position } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { hasRole } from '../principal.ts';
import { POSITION } from '../schemas/fields.ts';
import type { Joined } from '../subscribe/join.ts';
import { PLACE, placeOf } from './arguments.ts';
import { type AnyCommand, type CommandContext, command } from './command.ts';
import { connectionOf } from './connection.ts';
import { GROUP, groupPlace } from './groups.ts';
import { JOIN_RESULT } from './records.ts';

const MAX_POSITIONS = 1_000;
const DEFAULT_PREFETCH = 16;
const STREAM_NAME = new RegExp(`${CHANNEL_NAME.source}|^\\*$`);

const SINCE: z.ZodType<Position | Record<string, Position>> = z.union([
  POSITION,
  z
    .record(z.string().regex(STREAM_NAME, 'keys are channel names or "*"'), POSITION)
    .refine((map) => Object.keys(map).length <= MAX_POSITIONS, `at most ${MAX_POSITIONS} channels`)
    .meta({ maxProperties: MAX_POSITIONS, description: 'For a room: channel name to position.' }),
]);

/** join_channel, leave_channel. */
export function membershipCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'join_channel',
      role: 'guest',
      description: 'Joins a channel, or with a room alone (or "*") all of the room; resumes where "since" says.',
      args: z.strictObject({
        ...PLACE,
        since: SINCE.exactOptional(),
        echo: z.boolean().describe('Also receive what this client sends.').exactOptional(),
        presence: z.boolean().describe('Receive notices of joins and leaves.').exactOptional(),
        history: z.number().int().min(0).max(500).describe('Replay the last N envelopes first.').exactOptional(),
        group: GROUP.describe(
          'Take part in this group instead: each event goes to one of its members.',
        ).exactOptional(),
        prefetch: z
          .number()
          .int()
          .min(1)
          .max(1_000)
          .describe('With "group": events taken before the first is answered for (default 16).')
          .exactOptional(),
      }),
      result: JOIN_RESULT,
      run: (context, args): Awaitable<JoinResult> => {
        const { since, echo, presence, history, group, prefetch } = args;
        if (group !== undefined) return joinGroup(bus, context, { ...args, group });
        if (prefetch !== undefined) throw onlyWith('group', 'prefetch');
        const request = { ...placeOf(args), since, echo, presence, history };
        const joined = bus.memberships.join(connectionOf(context), request);
        const answer = ({ result, begin }: Joined): JoinResult => {
          context.afterAnswer(begin);
          return result;
        };
        return andThen(joined, answer);
      },
    }),
    command({
      name: 'leave_channel',
      role: 'guest',
      description: 'Leaves a channel or a room subscription.',
      args: z.strictObject({ ...PLACE, group: GROUP.describe('Leave this group of it.').exactOptional() }),
      result: z.strictObject({ left: z.boolean().describe('False: this client was no member.') }),
      run: (context, args): CommandResult<'leave_channel'> => {
        const { group } = args;
        if (group !== undefined) {
          const session = connectionOf(context);
          return { left: bus.groups.leave(session, groupPlace(session, { ...args, group })) };
        }
        const { room, channel } = placeOf(args);
        return { left: bus.memberships.leave(connectionOf(context), room, channel) };
      },
    }),
  ];
}

interface GroupJoin {
  readonly room?: string;
  readonly channel?: string;
  readonly group: string;
  readonly prefetch?: number;
}

/** Makes a connection a member of a group, beside whatever else it is a member of. */
async function joinGroup(bus: Core, context: CommandContext, args: GroupJoin): Promise<JoinResult> {
  const session = connectionOf(context);
  if (!hasRole(session.principal, 'user')) {
    throw new BusError('AUTHORIZATION_ERROR', 'Groups need the role user.', { required_role: 'user' });
  }
  const plain = ['since', 'echo', 'presence', 'history'].find((name) => Object.hasOwn(args, name));
  if (plain !== undefined) {
    const message = `"${plain}" is for ordinary members; a group knows itself what it has handed out.`;
    throw new BusError('VALIDATION_ERROR', message, { field: plain });
  }
  const place = groupPlace(session, args);
  const { position, members, begin } = await bus.groups.join(session, place, args.prefetch ?? DEFAULT_PREFETCH);
  context.afterAnswer(begin);
  const { room, channel, group } = place;
  return { room, channel, ...position, members, group };
}

function onlyWith(needed: string, field: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" goes with "${needed}" alone.`, { field });
}
