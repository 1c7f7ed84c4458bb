import type { Bus } from '@arqonbus/bus';
import { BusError, parseAddress } from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyRoute, route } from './route.ts';
import { type Redact, readHistory } from './storage-history.ts';

const MAX_ENTRIES = 1_000;
const NAME = z.string().min(1).max(260);

/** `/storage/history` and `/storage/stats`. */
export function storageRoutes(bus: Bus, redact: Redact): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/storage/history',
      tag: 'storage',
      summary: 'The last stored envelopes of a channel, a room or the tenant, oldest first.',
      access: 'admin',
      query: z.strictObject({
        room: NAME.optional().describe('Room name, or room:channel.'),
        channel: NAME.optional().describe('Channel name, or room:channel; `*` for what was sent to the room itself.'),
        client_id: NAME.optional().describe('Only what this sender sent.'),
        limit: z.coerce.number().int().min(1).max(MAX_ENTRIES).default(100),
      }),
      answer: z.object({
        entries: z.array(
          z.object({
            envelope: z.looseObject({ id: z.string(), type: z.string() }),
            stored_at: z.string(),
            storage_metadata: z.object({ backend: z.string(), sequence: z.number(), epoch: z.string() }),
          }),
        ),
        count: z.number(),
      }),
      run: async ({ caller, query: { room, channel, client_id: from, limit } }) => {
        const place = parseAddress(room, channel);
        if (place.room === undefined && place.channel !== undefined) {
          throw new BusError('VALIDATION_ERROR', 'Name the room of the channel too.', { field: 'room' });
        }
        await bus.messages.requireReader(caller.sender, place);
        const entries = await readHistory(bus, caller.principal, { place, from, limit }, redact);
        return { entries, count: entries.length };
      },
    }),
    route({
      method: 'get',
      path: '/storage/stats',
      tag: 'storage',
      summary: 'The state of the storage backend.',
      access: 'operator',
      answer: z.object({
        backend: z.string(),
        connected: z.boolean(),
        operations: z.number(),
        errors: z.number(),
        last_error: z.string().nullable(),
        streams: z.number(),
        messages: z.number(),
        bytes: z.number(),
      }),
      run: async () => bus.engine.stats(),
    }),
  ];
}
