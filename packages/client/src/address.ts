import {
  type Address,
  isChannelName,
  isChannelPattern,
  isRoomName,
  type PartialAddress,
  WILDCARD,
} from '@arqonbus/protocol';
import { invalidArgument } from './errors.ts';
import { given } from './options.ts';

/**
 * An address: `room:channel`, `room:*` or `room` for a whole room, or an object with both parts. A missing room means
 * the client's current room (PROTOCOL section 5).
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 });
 * await client.publish({ room: 'science', channel: 'explore' }, { n: 2 });
 * ```
 */
export type AddressInput = string | PartialAddress;

/** Throws `INVALID_ARGUMENT` for a malformed name, before anything is sent. */
export function readAddress(input: AddressInput): PartialAddress {
  if (typeof input !== 'string' && typeof input !== 'object') throw invalidArgument('An address is "room:channel".');
  const { room, channel } = typeof input === 'string' ? split(input) : input;
  const isWhole = room === WILDCARD && (channel ?? WILDCARD) === WILDCARD;
  if (room !== undefined && !isWhole && !isRoomName(room)) throw badName('room', room);
  if (channel !== undefined && channel !== WILDCARD && !isChannelName(channel)) throw badName('channel', channel);
  return given({ room, channel });
}

/** The room of mailboxes; its channels are named after their owners. */
export const MAIL_ROOM = '@';

/**
 * An address to receive from: it names its room, and optionally a channel or a channel pattern (`orders.*`,
 * `orders.>`); without a channel it means the whole room. `@NAME` is a mailbox.
 */
export function readSource(input: AddressInput): Address {
  if (typeof input === 'string' && input.startsWith(MAIL_ROOM)) return mailbox(input.slice(1));
  const { room, channel } = typeof input === 'string' ? split(input) : input;
  if (channel === undefined || !isChannelPattern(channel)) return readPlace(input);
  return { room: readPlace(given({ room })).room, channel };
}

/** The mailbox of a subject; a subject that is not a valid channel name is encoded in base64url. */
export function mailbox(subject: string): Address {
  if (isChannelName(subject)) return { room: MAIL_ROOM, channel: subject };
  const bytes = String.fromCharCode(...new TextEncoder().encode(subject));
  const channel = `~${btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')}`;
  return { room: MAIL_ROOM, channel };
}

/** Whether the target is a channel or room, rather than clients. */
export function isAddress(to: string | readonly string[] | PartialAddress): to is AddressInput {
  if (typeof to !== 'string') return !Array.isArray(to);
  return to.includes(':') && !to.startsWith('sub:') && !to.startsWith(MAIL_ROOM);
}

/** An address that names its room; without a channel it means the whole room. */
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
