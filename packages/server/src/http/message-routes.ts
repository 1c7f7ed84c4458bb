import type { Bus } from '@arqonbus/bus';
import { BusError, isTimestamp, parseAddress } from '@arqonbus/protocol';
import { z } from 'zod';
import { Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

const TEXT = z.string();
/** At most two names, or the channel of a mailbox. */
const NAME = TEXT.min(1).max(1_030);
const POSITION = z.object({ sequence: z.number(), epoch: TEXT });
const BOUND = z.union([z.number(), z.record(TEXT, z.number())]).nullable();
const SEQUENCE = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const ONE_POSITION = /^(\d{1,16})@([A-Za-z0-9_-]*)$/;
/** Maximum wait for the first message, in milliseconds: less than the common one-minute timeout of proxies. */
const MAX_WAIT_MS = 55_000;

/**
 * `GET /v1/messages`: the retained messages of a channel or room, for callers who may read its history; can wait for
 * new ones.
 */
export function messageRoutes(bus: Bus): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/v1/messages',
      tag: 'messages',
      summary: 'Stored envelopes of a channel or a room, oldest first. With `wait_ms` it waits for the first.',
      access: 'user',
      query: z.strictObject({
        room: NAME.describe('Room name, or room:channel.'),
        channel: NAME.optional().describe(
          'Channel name; without one all channels of the room, merged by time. Of the room `@`: a mailbox.',
        ),
        since: TEXT.max(65_536)
          .optional()
          .describe('Only what came after: SEQUENCE@EPOCH, a time, or of a room `position` of an answer as JSON.'),
        before: SEQUENCE.optional().describe('Only sequences below this.'),
        after: SEQUENCE.optional().describe('Only sequences above this.'),
        limit: z.coerce.number().int().min(1).max(500).default(50),
        wait_ms: z.coerce
          .number()
          .int()
          .min(0)
          .max(MAX_WAIT_MS)
          .optional()
          .describe('How long to wait, in milliseconds.'),
      }),
      answer: z.object({
        messages: z.array(z.looseObject({ id: TEXT, type: TEXT })),
        position: z.union([POSITION, z.record(TEXT, POSITION)]).describe('Where to go on: pass it as `since`.'),
        recovered: z.boolean().optional().describe('With `since`: false when some of what was missed is gone.'),
        next: BOUND,
        previous: BOUND,
      }),
      run: async ({ caller: { sender }, query, signal }) => {
        const { since, before, after, limit, wait_ms: waitMs } = query;
        const { room, channel } = parseAddress(query.room, query.channel, false, true);
        if (room === undefined) throw new BusError('VALIDATION_ERROR', 'Name the room.', { field: 'room' });
        const from = since === undefined ? undefined : readSince(since);
        const request = { room, channel, limit, before, after, since: from, waitMs, signal };
        const { texts, ...rest } = await bus.messages.read(sender, request);
        const body = `{"messages":[${texts.join(',')}],${JSON.stringify(rest).slice(1)}`;
        return new Reply(200, body, { 'Content-Type': 'application/json' });
      },
    }),
  ];
}

type Since = Parameters<Bus['messages']['read']>[1]['since'];

/** Parses a position, a map of positions, or a time, as in the command `history`. */
function readSince(text: string): Since {
  const one = ONE_POSITION.exec(text);
  if (one !== null) return { sequence: Number(one[1]), epoch: one[2] as string };
  if (!text.startsWith('{')) {
    // An unescaped plus in the UTC offset arrives as a space.
    const time = text.replace(/ (?=\d\d:\d\d$)/, '+');
    if (!isTimestamp(time)) throw malformed();
    return { time };
  }
  const checked = POSITIONS.safeParse(parse(text));
  if (!checked.success) throw malformed();
  return checked.data;
}

const POSITIONS = z.union([
  z.strictObject({ sequence: z.number().int().min(0), epoch: TEXT }),
  z.record(TEXT, z.strictObject({ sequence: z.number().int().min(0), epoch: TEXT })),
]);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function malformed(): BusError {
  return new BusError(
    'VALIDATION_ERROR',
    'Parameter "since" is SEQUENCE@EPOCH, a time like 2026-01-31T12:00:00Z, or a `position` as JSON.',
    {
      field: 'since',
    },
  );
}
