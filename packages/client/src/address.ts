import { type Address, isChannelName, isRoomName, type PartialAddress, WILDCARD } from '@arqonbus/protocol';
import { invalidArgument } from './errors.ts';
import { given } from './options.ts';

/**
 * Where something goes or comes from: `room:channel`, `room:*` or `room` for a whole room, or the parts. Parts without
 * a room are looked up by the server in the client's current room (PROTOCOL section 5).
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 });
 * await client.publish({ room: 'science', channel: 'explore' }, { n: 2 });
 * ```
 */
export type AddressInput = string | PartialAddress;

/** Throws `INVALID_ARGUMENT` for a malformed name, before anything is sent. */
export function readAddress(input: AddressInput): PartialAddress {
  const { room, channel } = typeof input === 'string' ? split(input) : input;
  const isWhole = room === WILDCARD && (channel ?? WILDCARD) === WILDCARD;
  if (room !== undefined && !isWhole && !isRoomName(room)) throw badName('room', room);
  if (channel !== undefined && channel !== WILDCARD && !isChannelName(channel)) throw badName('channel', channel);
  return given({ room, channel });
}

/** An address that names its room; without a channel it is the whole room. */
export function readPlace(input: AddressInput): Address {
  const { room, channel = WILDCARD } = readAddress(input);
  if (room === undefined) throw invalidArgument('Name the room: "room:channel", or "room" for all of it.');
  return { room, channel };
}

function split(text: string): PartialAddress {
  const colon = text.indexOf(':');
  return colon < 0 ? { room: text } : { room: text.slice(0, colon), channel: text.slice(colon + 1) };
}

function badName(what: string, name: string): Error {
  return invalidArgument(`"${name}" is not a ${what} name; use letters, digits, ".", "_", "-".`);
}
