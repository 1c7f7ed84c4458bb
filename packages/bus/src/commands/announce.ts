import { BusError, encode, type JsonObject, newId, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import { Frame } from '../connection/frame.ts';
import type { Session } from '../connection/session.ts';
import type { Core } from '../core.ts';
import type { NodeMessage } from '../engine/engine.ts';
import type { Tenant } from '../rooms.ts';
import { OBJECT } from '../schemas/fields.ts';
import { type AnyCommand, command } from './command.ts';

/** Means every tenant; not a valid tenant name. */
const EVERY_TENANT = WILDCARD;
const ROOM = z.string().min(1).max(128);

/** announce: a notice to all connected clients. */
export function announceCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'announce',
      role: 'admin',
      description: 'Sends a notice to the clients in a room, or to all clients. An operator’s "*" goes to all tenants.',
      args: z.strictObject({
        room: ROOM.describe('Room name; "*", or none, for all clients.').exactOptional(),
        payload: OBJECT.describe('The content of the announcement.'),
      }),
      result: z.strictObject({
        announcement_id: z.string(),
        connections: z.number().int().min(0).describe('Notified connections of this node.'),
      }),
      run: async ({ sender }, { room = WILDCARD, payload }) => {
        const { principal } = sender;
        bus.access.require(principal, 'admin', room, WILDCARD);
        if (room !== WILDCARD && !bus.rooms.tenant(principal.tenant).rooms.has(room)) {
          throw new BusError('NOT_FOUND', `The room ${room} does not exist.`, { room });
        }
        const announcement_id = newId();
        const tenant = room === WILDCARD && principal.operator ? EVERY_TENANT : principal.tenant;
        const notice = { event: 'announcement', announcement_id, announcement: payload as JsonObject };
        const text = encode({ type: 'system', ...(room === WILDCARD ? {} : { room }), payload: notice });
        const message: NodeMessage = { kind: 'announce', tenant, clients: [], text, room };
        await bus.engine.presence?.send(null, message);
        return { announcement_id, connections: deliverAnnouncement(bus, message) };
      },
    }),
  ];
}

/** Delivers an announcement to its clients on this node; returns their number. */
export function deliverAnnouncement(bus: Core, { tenant: name, text, room = WILDCARD }: NodeMessage): number {
  const frame = new Frame(text);
  let count = 0;
  for (const tenant of bus.rooms.tenants.values()) {
    if (name !== EVERY_TENANT && tenant.name !== name) continue;
    for (const session of audienceOf(tenant, room)) {
      session.outbox.push(frame);
      count += 1;
    }
  }
  return count;
}

function audienceOf(tenant: Tenant, room: string): Iterable<Session> {
  return room === WILDCARD ? tenant.sessions.values() : (tenant.rooms.get(room)?.members() ?? []);
}
