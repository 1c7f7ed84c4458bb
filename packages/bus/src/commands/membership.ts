import type { CommandResult, JoinResult, Position } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { POSITION } from '../schemas/fields.ts';
import type { Joined } from '../subscribe/join.ts';
import { MEMBER_PLACE, POSITIONS, placeOf } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { connectionOf } from './connection.ts';
import { JOIN_RESULT } from './records.ts';

const SINCE: z.ZodType<Position | Record<string, Position>> = z.union([POSITION, POSITIONS]);

const STATE = z.unknown().describe('Any JSON of at most 4,096 bytes; null: nothing.');

/** join_channel, leave_channel, presence_update. */
export function membershipCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'join_channel',
      role: 'guest',
      place: 'current',
      description:
        'Joins a channel, the channels that match a pattern, or with a room alone (or "*") all of it; resumes after "since".',
      args: z.strictObject({
        ...MEMBER_PLACE,
        since: SINCE.exactOptional(),
        echo: z.boolean().describe('Also receive what this client sends.').exactOptional(),
        presence: z
          .union([z.boolean(), z.strictObject({ state: STATE.exactOptional() })])
          .describe('Be told who is there and of every change; with "state" also what others are told of this client.')
          .exactOptional(),
        strict: z
          .boolean()
          .describe('Refuse a room or pattern unless the grants cover all of it; else what they cover is delivered.')
          .exactOptional(),
        history: z.number().int().min(0).max(500).describe('Replay the last N envelopes first.').exactOptional(),
      }),
      result: JOIN_RESULT,
      run: (context, args): Awaitable<JoinResult> => {
        const { since, echo, presence, history, strict } = args;
        const request = { ...placeOf(args, true), since, echo, presence, history, strict };
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
      args: z.strictObject(MEMBER_PLACE),
      result: z.strictObject({ left: z.boolean().describe('False: this client was no member.') }),
      run: (context, args): CommandResult<'leave_channel'> => {
        const { room, channel } = placeOf(args, true);
        return { left: bus.memberships.leave(connectionOf(context), room, channel) };
      },
    }),
    command({
      name: 'presence_update',
      role: 'guest',
      place: 'current',
      description: 'Changes what the members of a channel or room that watch presence are told of this client.',
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
