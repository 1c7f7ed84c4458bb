import {
  BusError,
  type CommandResult,
  type JoinResult,
  type JsonObject,
  MAX_EPOCH_LENGTH,
  type Position,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { hasRole } from '../principal.ts';
import { POSITION } from '../schemas/fields.ts';
import type { Joined } from '../subscribe/join.ts';
import { isName, MEMBER_PLACE, POSITIONS, placeOf } from './arguments.ts';
import { type AnyCommand, type CommandContext, command } from './command.ts';
import { connectionOf } from './connection.ts';
import { GROUP, groupPlace } from './groups.ts';
import { JOIN_RESULT } from './records.ts';

const DEFAULT_PREFETCH = 16;
const SINCE: z.ZodType<Position | Record<string, Position>> = z.union([POSITION, POSITIONS]);

const STATE = z.unknown().describe('Any JSON of at most 4,096 bytes; null: none.');

/** join_channel, leave_channel, presence_update. */
export function membershipCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'join_channel',
      role: 'guest',
      place: 'current',
      description:
        'Joins a channel, the channels that match a pattern, or with a room alone (or "*") the whole room. Resumes after "since".',
      args: z.strictObject({
        ...MEMBER_PLACE,
        since: SINCE.exactOptional(),
        echo: z.boolean().describe('Also receive what this client sends.').exactOptional(),
        presence: z
          .union([z.boolean(), z.strictObject({ state: STATE.exactOptional() })])
          .describe('Receive the current members and every change; "state" sets what others see of this client.')
          .exactOptional(),
        strict: z
          .boolean()
          .describe(
            'Refuse a room or pattern unless the grants cover all of it; otherwise only the covered part is delivered.',
          )
          .exactOptional(),
        history: z.number().int().min(0).max(500).describe('Replay the last N envelopes first.').exactOptional(),
        last: z
          .boolean()
          .describe('Start with the retained value of each channel, if a rule keeps one.')
          .exactOptional(),
        group: GROUP.describe('Join this group instead: each event goes to one of its members.').exactOptional(),
        prefetch: z
          .number()
          .int()
          .min(1)
          .max(1_000)
          .describe('With "group": maximum number of unacknowledged events (default 16).')
          .exactOptional(),
      }),
      isUsual: isUsualJoin,
      result: JOIN_RESULT,
      run: (context, args): Awaitable<JoinResult> => {
        const { since, echo, presence, history, last, strict, group, prefetch } = args;
        if (group !== undefined) return joinGroup(bus, context, { ...args, group });
        if (prefetch !== undefined) throw onlyWith('group', 'prefetch');
        const { room, channel } = placeOf(args, true);
        const request = { room, channel, since, echo, presence, history, last, strict };
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
      place: 'current',
      description: 'Leaves a channel or a room subscription.',
      args: z.strictObject({
        ...MEMBER_PLACE,
        group: GROUP.describe('Leave this group of the channel.').exactOptional(),
      }),
      result: z.strictObject({ left: z.boolean().describe('False: this client was no member.') }),
      run: (context, args): CommandResult<'leave_channel'> => {
        const { group } = args;
        if (group !== undefined) {
          const session = connectionOf(context);
          return { left: bus.groups.leave(session, groupPlace(session, { ...args, group })) };
        }
        const { room, channel } = placeOf(args, true);
        return { left: bus.memberships.leave(connectionOf(context), room, channel) };
      },
    }),
    command({
      name: 'presence_update',
      role: 'guest',
      place: 'current',
      description: 'Changes the state of this client that presence shows in a channel or room.',
      args: z.strictObject({ ...MEMBER_PLACE, state: STATE }),
      result: z.strictObject({ updated: z.literal(true) }),
      run: (context, args): CommandResult<'presence_update'> => {
        const { room, channel } = placeOf(args, true);
        bus.memberships.setState(connectionOf(context), room, channel, args.state);
        return { updated: true };
      },
    }),
  ];
}

/**
 * Whether the arguments of `join_channel` are just a place, with or without a position: those of thousands of clients
 * that connect again at once. The schema takes 5 µs for them, more than the rest of the validation.
 */
export function isUsualJoin(args: JsonObject): boolean {
  for (const name of Object.keys(args)) {
    const value = args[name];
    if (!(name === 'since' ? isPosition(value) : (name === 'room' || name === 'channel') && isName(value)))
      return false;
  }
  return true;
}

function isPosition(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  const { sequence, epoch } = value as Partial<Position>;
  return (
    Number.isSafeInteger(sequence) && sequence! >= 0 && typeof epoch === 'string' && epoch.length <= MAX_EPOCH_LENGTH
  );
}

interface GroupJoin {
  readonly room?: string;
  readonly channel?: string;
  readonly group: string;
  readonly prefetch?: number;
}

/** Adds a connection to a group, independent of its other memberships. */
async function joinGroup(bus: Core, context: CommandContext, args: GroupJoin): Promise<JoinResult> {
  const session = connectionOf(context);
  if (!hasRole(session.principal, 'user')) {
    throw new BusError('AUTHORIZATION_ERROR', 'Groups need the role user.', { required_role: 'user' });
  }
  const plain = ['since', 'echo', 'presence', 'history', 'strict'].find((name) => Object.hasOwn(args, name));
  if (plain !== undefined) {
    const message = `"${plain}" is for ordinary members; a group keeps track of what it has handed out.`;
    throw new BusError('VALIDATION_ERROR', message, { field: plain });
  }
  const place = groupPlace(session, args);
  await bus.http.read(session, place);
  const { position, members, begin } = await bus.groups.join(session, place, args.prefetch ?? DEFAULT_PREFETCH);
  context.afterAnswer(begin);
  const { room, channel, group } = place;
  return { room, channel, ...position, members, group };
}

function onlyWith(needed: string, field: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" only goes with "${needed}".`, { field });
}
