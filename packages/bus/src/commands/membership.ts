import type { CommandResult, JoinResult, Position } from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import { POSITION } from '../schemas/fields.ts';
import type { Joined } from '../subscribe/join.ts';
import { PLACE, POSITIONS, placeOf } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { connectionOf } from './connection.ts';
import { JOIN_RESULT } from './records.ts';

const SINCE: z.ZodType<Position | Record<string, Position>> = z.union([POSITION, POSITIONS]);

/** join_channel, leave_channel. */
export function membershipCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'join_channel',
      role: 'guest',
      place: 'current',
      description: 'Joins a channel, or with a room alone (or "*") all of the room; resumes where "since" says.',
      args: z.strictObject({
        ...PLACE,
        since: SINCE.exactOptional(),
        echo: z.boolean().describe('Also receive what this client sends.').exactOptional(),
        presence: z.boolean().describe('Receive notices of joins and leaves.').exactOptional(),
        history: z.number().int().min(0).max(500).describe('Replay the last N envelopes first.').exactOptional(),
      }),
      result: JOIN_RESULT,
      run: (context, args): Awaitable<JoinResult> => {
        const { since, echo, presence, history } = args;
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
      place: 'current',
      description: 'Leaves a channel or a room subscription.',
      args: z.strictObject(PLACE),
      result: z.strictObject({ left: z.boolean().describe('False: this client was no member.') }),
      run: (context, args): CommandResult<'leave_channel'> => {
        const { room, channel } = placeOf(args);
        return { left: bus.memberships.leave(connectionOf(context), room, channel) };
      },
    }),
  ];
}
