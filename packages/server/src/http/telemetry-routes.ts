import { BusError } from '@arqonbus/protocol';
import { z } from 'zod';
import type { TelemetryFeed } from '../telemetry/feed.ts';
import { MAX_REPLAY, matchesFilter, readFilter } from '../telemetry/request.ts';
import type { Caller } from './credentials.ts';
import { Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

export interface TelemetryParts {
  readonly feed: TelemetryFeed;
  /** Open telemetry connections, and events dropped for slow ones. */
  readonly clients: () => { readonly clients: number; readonly dropped_total: number };
}

/** Feed statistics for a caller. */
export function telemetryFigures({ feed, clients }: TelemetryParts, caller: Caller): object {
  return { ...feed.stats(caller.principal), ...(caller.principal.operator ? clients() : {}) };
}

/** `/telemetry/events` and `/telemetry/stats`. */
export function telemetryRoutes(parts: TelemetryParts): AnyRoute[] {
  const { feed } = parts;
  return [
    route({
      method: 'get',
      path: '/telemetry/events',
      tag: 'telemetry',
      summary: 'The last events, oldest first. Operators that name no tenant see those of all tenants.',
      access: 'admin',
      query: z.strictObject({
        limit: z.coerce.number().int().min(1).max(MAX_REPLAY).default(100),
        events: z.string().optional().describe('Event types by commas, `*` for any run of characters.'),
        room: z.string().optional().describe('Only events about this room.'),
      }),
      answer: z.object({
        events: z.array(
          z.object({
            event_id: z.string(),
            eventType: z.string(),
            timestamp: z.string(),
            severity: z.enum(['info', 'warning', 'error']),
            node: z.string(),
            payload: z.looseObject({}),
            submitted: z.literal(true).optional().describe('On what a client submitted, and on nothing else.'),
            client_id: z.string().optional().describe('Who submitted it.'),
            room: z.string().optional().describe('What it says to be about; the server’s own say so in their payload.'),
            channel: z.string().optional(),
          }),
        ),
        count: z.number(),
      }),
      run: ({ caller, query: { limit, events, room } }) => {
        if (!feed.options.enabled) {
          throw new BusError('FEATURE_DISABLED', 'Telemetry is off on this server (ARQONBUS_ENABLE_TELEMETRY).');
        }
        const filter = readFilter({ ...(events === undefined ? {} : { events: events.split(',') }), room });
        const found = feed.recent(caller.principal, limit, (event) => matchesFilter(event, filter));
        const body = `{"events":[${found.map(({ text }) => text).join(',')}],"count":${found.length}}`;
        return new Reply(200, body, { 'Content-Type': 'application/json' });
      },
    }),
    route({
      method: 'get',
      path: '/telemetry/stats',
      tag: 'telemetry',
      summary: 'The number of events, and the connected watchers.',
      access: 'admin',
      answer: z.object({
        enabled: z.boolean(),
        buffered: z.number(),
        buffer_size: z.number(),
        events_total: z.number(),
        events_by_type: z.record(z.string(), z.number()),
        clients: z.number().optional().describe('Telemetry connections; for operators.'),
        dropped_total: z.number().optional().describe('Events that slow connections lost; for operators.'),
      }),
      run: ({ caller }) => telemetryFigures(parts, caller),
    }),
  ];
}
