import { z } from 'zod';
import { readCursor } from '../cursor.ts';
import { NOTE } from '../message.ts';
import { invalid, readChannel } from '../place.ts';
import { readAfter, readLast } from '../reading.ts';
import { seconds, type Tool, tool, WAIT_SECONDS } from '../tool.ts';
import { MAX_PLACES, waitFor } from '../waiting.ts';

const MAX_LIMIT = 100;
const LIMIT = 20;
/** Time limit of a call without a wait, including a restart of the bus, milliseconds. */
const READ_MS = 20_000;

/** read, wait: receive messages. */
export const READ: readonly Tool[] = [
  tool(
    'read',
    'What came after a cursor, else the last messages.',
    z.strictObject({
      channel: z.string(),
      cursor: z.string().optional(),
      limit: z.number().int().min(1).max(MAX_LIMIT).optional(),
    }),
    async (call, { channel, cursor = '', limit = LIMIT }) => {
      const place = readChannel(channel);
      const since = readCursor(cursor, 'cursor');
      const timed = { ...call, until: performance.now() + READ_MS };
      const page =
        since === undefined ? await readLast(timed, place, limit) : await readAfter(timed, place, since, limit, 0);
      const { messages, lost } = page;
      return { note: NOTE, messages, cursor: page.cursor, ...(lost ? { lost } : {}) };
    },
    { fields: { room: 'channel', since: 'cursor', after: 'cursor' } },
  ),
  tool(
    'wait',
    'Wait for messages. places: {"room:channel": cursor, "inbox": ""}; hand back those it answers.',
    z.strictObject({ places: z.record(z.string(), z.string()), seconds: WAIT_SECONDS }),
    async (call, { places, seconds: wait = 30 }) => {
      const names = Object.keys(places);
      if (names.length === 0 || names.length > MAX_PLACES) throw invalid(`Name 1 to ${MAX_PLACES} places.`);
      return waitFor({ ...call, until: performance.now() + seconds(wait) }, places);
    },
    {
      waitsForBus: true,
      fields: {
        room: 'places',
        channel: 'places',
        group: 'places',
        since: 'places',
        after: 'places',
        wait_ms: 'seconds',
      },
    },
  ),
];
