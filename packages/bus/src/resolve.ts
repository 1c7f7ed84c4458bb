import { type Address, BusError, WILDCARD } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';

/**
 * The address of an event: the six rules of PROTOCOL section 5. Rule 2 (`room:channel` in one field) was applied when
 * the frame was decoded. Throws NO_ROUTE when no address is given and nothing is joined.
 */
export function resolve(room: string | undefined, channel: string | undefined, session: Session | null): Address {
  if (room === WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'An event goes to one room; "*" is not a room.', { field: 'room' });
  }
  if (room !== undefined) return { room, channel: channel ?? WILDCARD };
  if (channel !== undefined) {
    const current = session?.currentRoom();
    if (current === undefined) {
      throw new BusError('NO_ROUTE', 'A channel alone needs a current room; join one or name the room.', {
        field: 'room',
      });
    }
    return { room: current, channel };
  }
  const current = session?.current;
  if (current === undefined) {
    throw new BusError('NO_ROUTE', 'Name a room and channel, or join one first.', { field: 'room' });
  }
  return current;
}
