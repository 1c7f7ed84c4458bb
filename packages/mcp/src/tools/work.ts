import { z } from 'zod';
import { NOTE } from '../message.ts';
import { readQueue } from '../place.ts';
import { MAX_WORK, takeSoon } from '../reading.ts';
import { seconds, type Tool, tool, WAIT_SECONDS } from '../tool.ts';

/** take, done, give_back: leased work. */
export const WORK: readonly Tool[] = [
  tool(
    'take',
    'Take work from "inbox" or "room:channel#group".',
    z.strictObject({
      place: z.string(),
      limit: z.number().int().min(1).max(MAX_WORK).optional(),
      seconds: WAIT_SECONDS,
    }),
    async (call, { place, limit = 1, seconds: wait = 0 }) => {
      const queue = readQueue(place);
      const messages = await takeSoon({ ...call, until: performance.now() + seconds(wait) }, queue, limit);
      return { note: NOTE, messages };
    },
    { fields: { room: 'place', channel: 'place', group: 'place', wait_ms: 'seconds' } },
  ),
  tool(
    'done',
    'Work is done; with extend: it needs more time.',
    z.strictObject({ work: z.array(z.string()).min(1).max(100), extend: z.boolean().optional() }),
    async ({ agent, signal }, { work, extend = false }) => {
      const command = extend ? 'delivery.extend' : 'delivery.ack';
      return agent.client.command(command, { tokens: work }, { signal });
    },
    { fields: { tokens: 'work' } },
  ),
  tool(
    'give_back',
    'Hand work back; with reject: for good.',
    z.strictObject({
      work: z.array(z.string()).min(1).max(100),
      reason: z.string().max(1_000).optional(),
      delay_seconds: z.number().min(0).max(86_400).optional(),
      reject: z.boolean().optional(),
    }),
    async ({ agent, signal }, { work, reason, delay_seconds: delay, reject = false }) => {
      if (reject) {
        const args = { tokens: work, reason: reason ?? 'rejected' };
        return agent.client.command('delivery.reject', args, { signal });
      }
      const given = { ...(reason ? { reason } : {}), ...(delay === undefined ? {} : { delay_seconds: delay }) };
      return agent.client.command('delivery.nack', { tokens: work, ...given }, { signal });
    },
    { fields: { tokens: 'work' } },
  ),
];
