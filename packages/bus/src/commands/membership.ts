import { type CommandResult, isChannelName, type JoinResult, type Position, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Bus } from '../bus.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Joined } from '../subscribe/join.ts';
import { PLACE, placeOf } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { connectionOf } from './connection.ts';

const MAX_POSITIONS = 1_000;

const POSITION: z.ZodType<Position> = z
  .strictObject({
    sequence: z.number().int().min(0),
    // A join that was answered while the storage was away knows of no epoch.
    epoch: z.string().max(64),
  })
  .describe('Where this client stopped.');

const SINCE: z.ZodType<Position | Record<string, Position>> = z.union([
  POSITION,
  z
    .record(
      z.string().refine((name) => name === WILDCARD || isChannelName(name), 'keys are channel names or "*"'),
      POSITION,
    )
    .refine((map) => Object.keys(map).length <= MAX_POSITIONS, `at most ${MAX_POSITIONS} channels`)
    .describe('For a room: channel name to position.'),
]);

/** join_channel, leave_channel. */
export function membershipCommands(bus: Bus): AnyCommand[] {
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
      }),
      run: (context, args): Awaitable<JoinResult> => {
        const { since, echo, presence, history } = args;
        const request = { ...placeOf(args), since, echo, presence, history };
        const joined = bus.memberships.join(connectionOf(context), request);
        const answer = ({ result, begin }: Joined): JoinResult => {
          context.afterAnswer(begin);
          return result;
        };
        return joined instanceof Promise ? joined.then(answer) : answer(joined);
      },
    }),
    command({
      name: 'leave_channel',
      role: 'guest',
      description: 'Leaves a channel or a room subscription.',
      args: z.strictObject(PLACE),
      run: (context, args): CommandResult<'leave_channel'> => {
        const { room, channel } = placeOf(args);
        return { left: bus.memberships.leave(connectionOf(context), room, channel) };
      },
    }),
  ];
}
