import type { Bus } from '@arqonbus/bus';
import { BusError, type JsonObject, parseAddress, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { type AnyRoute, route } from './route.ts';

const TEXT = z.string();
const PARAMS = z.object({ sub: TEXT.min(1).max(256).describe('The `sub` of its tokens.') });
const PLACE = z.object({
  room: TEXT.describe('Room name, or room:channel.'),
  channel: TEXT.optional().describe('Channel name; without one the whole room.'),
});
const MAX_REASON = 120;

/** Administration of all connections of a subject, on any node. */
export function subjectRoutes(bus: Bus): AnyRoute[] {
  return [
    route({
      method: 'post',
      path: '/v1/subjects/{sub}/join',
      tag: 'administration',
      summary: 'Makes the connections of a subject members, as far as its grants allow. Each gets the notice `joined`.',
      access: 'admin',
      params: PARAMS,
      body: PLACE,
      answer: z.object({ connections: z.number() }),
      run: async ({ caller: { principal }, params, body }) => {
        const place = placeOf(body);
        bus.access.require(principal, 'admin', place.room, place.channel);
        return { connections: await bus.subjects.join(principal.tenant, params.sub, place) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/subjects/{sub}/leave',
      tag: 'administration',
      summary:
        'Removes the connections of a subject from a channel or room. Each gets the notice `membership_revoked`.',
      access: 'admin',
      params: PARAMS,
      body: PLACE,
      answer: z.object({ connections: z.number() }),
      run: async ({ caller: { principal }, params, body }) => {
        const place = placeOf(body);
        bus.access.require(principal, 'admin', place.room, place.channel);
        return { connections: await bus.subjects.leave(principal.tenant, params.sub, place) };
      },
    }),
    route({
      method: 'post',
      path: '/v1/subjects/{sub}/disconnect',
      tag: 'administration',
      summary: 'Closes the connections of a subject with 4403.',
      access: 'admin',
      params: PARAMS,
      body: z.object({ reason: TEXT.max(MAX_REASON).optional().describe('What the client is told.') }),
      answer: z.object({ connections: z.number() }),
      run: async ({ caller: { principal }, params, body: { reason = 'disconnected by an administrator' } }) => {
        bus.access.requireTenant(principal);
        if (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON) {
          throw new BusError('VALIDATION_ERROR', `"reason" must be a string of at most ${MAX_REASON} bytes.`, {
            field: 'reason',
          });
        }
        return { connections: await bus.subjects.disconnect(principal.tenant, params.sub, reason) };
      },
    }),
  ];
}

function placeOf({ room: given, channel: name }: JsonObject): { room: string; channel: string } {
  const isText = typeof given === 'string' && (name === undefined || typeof name === 'string');
  const { room, channel = WILDCARD } = isText ? parseAddress(given, name) : {};
  if (room !== undefined) return { room, channel };
  throw new BusError('VALIDATION_ERROR', 'Name the room, and the channel if it is about one.', { field: 'room' });
}
