import type { Bus, CommandRunner } from '@arqonbus/bus';
import { BusError, newId, parseAddress, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyRoute, route } from './route.ts';

export interface MessageParts {
  readonly bus: Bus;
  readonly runner: CommandRunner;
}

const TEXT = z.string();
const NAME = TEXT.min(1).max(260);
const POSITION = z.object({ sequence: z.number(), epoch: TEXT });
const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER;

/** `GET /v1/messages`: what a channel keeps, for whoever may read its history. */
export function messageRoutes({ bus, runner }: MessageParts): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/v1/messages',
      tag: 'messages',
      summary: 'Stored envelopes of a channel, oldest first: the last ones, or those after a position.',
      access: 'user',
      query: z.strictObject({
        room: NAME.describe('Room name, or room:channel.'),
        channel: NAME.optional().describe('Channel name; without one what was sent to the room itself.'),
        since: TEXT.regex(/^\d{1,16}@[A-Za-z0-9_-]*$/, 'write SEQUENCE@EPOCH, as `position` has them')
          .optional()
          .describe('SEQUENCE@EPOCH: only what came after it.'),
        before: z.coerce.number().int().min(0).max(MAX_SEQUENCE).optional().describe('Only sequences below this.'),
        limit: z.coerce.number().int().min(1).max(500).default(50),
      }),
      answer: z.object({
        messages: z.array(z.looseObject({ id: TEXT, type: TEXT })),
        position: POSITION.describe('Where the last of them stands; without any, where the stream does.'),
        recovered: z.boolean().optional().describe('With `since`: whether nothing is missing in between.'),
        next: z.number().nullable(),
        previous: z.number().nullable(),
      }),
      run: async ({ caller: { sender }, query: { since, before, limit, ...place } }) => {
        const { room, channel = WILDCARD } = parseAddress(place.room, place.channel);
        if (room === undefined) throw new BusError('VALIDATION_ERROR', 'Name the room.', { field: 'room' });
        bus.access.require(sender.principal, 'history', room, channel);
        const { tenant } = sender.principal;
        const state = await bus.engine.broker.state({ tenant, room, channel });
        const { epoch, oldest } = state;
        const given = since === undefined ? undefined : readPosition(since);
        const isKnown = given !== undefined && given.epoch === epoch && given.sequence <= state.sequence;
        const after = given === undefined ? undefined : isKnown ? given.sequence : oldest - 1;
        const args = {
          room,
          channel,
          limit,
          ...(before === undefined ? {} : { before }),
          ...(after === undefined ? {} : { after }),
        };
        const page = (await runner.run({ sender, requestId: newId(), name: 'history', args })) as HistoryPage;
        const last = page.messages.at(-1)?.metadata?.sequence;
        return {
          ...page,
          position: { sequence: last ?? after ?? state.sequence, epoch },
          ...(given === undefined ? {} : { recovered: isKnown && given.sequence + 1 >= oldest }),
        };
      },
    }),
  ];
}

interface HistoryPage {
  readonly messages: readonly { readonly metadata?: { readonly sequence?: number } }[];
}

function readPosition(text: string): { sequence: number; epoch: string } {
  const at = text.indexOf('@');
  return { sequence: Number(text.slice(0, at)), epoch: text.slice(at + 1) };
}
