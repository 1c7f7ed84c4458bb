import { BusError } from './errors.ts';
import { isChannelPattern } from './pattern.ts';

/** Matches a whole room name. */
export const ROOM_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** Matches a whole channel name. */
export const CHANNEL_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;

/** All channels of a room (a room subscription, a room-wide event) and, as a room, all rooms. */
export const WILDCARD = '*';
/** The channel name reserved for private messages among the members of a room. */
export const PRIVATE_CHANNEL = 'pm';

/** The room of mailboxes: each of its channels belongs to one subject ({@link mailboxChannel}). */
export const MAIL_ROOM = '@';
/** The group whose members handle the mail of a mailbox. */
export const INBOX = 'inbox';
/** The channel of a mailbox whose subject is not a channel name: base64url of at most 256 UTF-16 units. */
const SPELLED_MAILBOX = /^~[A-Za-z0-9_-]{2,1024}$/;

/** A place in a tenant: `channel` is a name or {@link WILDCARD}; `room` is a name, or the wildcard with it. */
export interface Address {
  readonly room: string;
  readonly channel: string;
}

/** The room and channel that a sender named, after `room:channel` was split. Both may be missing. */
export interface PartialAddress {
  readonly room?: string;
  readonly channel?: string;
}

/** Room: `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, case-sensitive (PROTOCOL section 5). */
export function isRoomName(value: string): boolean {
  return ROOM_NAME.test(value);
}

/** Channel: as a room, and `/` after the first character. */
export function isChannelName(value: string): boolean {
  return CHANNEL_NAME.test(value);
}

/** The channel of {@link MAIL_ROOM} for a subject's mail: the subject itself if it is a channel name. */
export function mailboxChannel(subject: string): string {
  if (isChannelName(subject)) return subject;
  const bytes = String.fromCharCode(...new TextEncoder().encode(subject));
  return `~${btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`;
}

/** The subject whose mail is in a channel of {@link MAIL_ROOM}; the channel itself if it encodes none. */
export function mailboxSubject(channel: string): string {
  if (!SPELLED_MAILBOX.test(channel)) return channel;
  try {
    const binary = atob(channel.slice(1).replaceAll('-', '+').replaceAll('_', '/'));
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(binary, (one) => one.charCodeAt(0)));
  } catch {
    return channel;
  }
}

/** Whether this is a valid channel name of {@link MAIL_ROOM}. */
export function isMailboxChannel(value: string): boolean {
  return isChannelName(value) || SPELLED_MAILBOX.test(value);
}

export function formatAddress(address: Address): string {
  return `${address.room}:${address.channel}`;
}

/**
 * Parses the `room` and `channel` fields of an envelope or of a command's arguments: each may contain a name, a
 * wildcard or `room:channel`. Throws VALIDATION_ERROR naming the field if one is malformed or the two conflict.
 *
 * @param patterns whether the channel may be a pattern like `orders.*`
 * @param mailboxes whether it may be a mailbox: a channel of the room `@`
 */
export function parseAddress(
  room: string | undefined,
  channel: string | undefined,
  patterns: boolean = false,
  mailboxes: boolean = false,
): PartialAddress {
  // The common cases first: two plain names, or none.
  if (room === undefined) {
    if (channel === undefined) return {};
  } else if (channel !== undefined && isRoomName(room) && isChannelName(channel)) {
    return { room, channel };
  }
  const fromRoom = room === undefined ? undefined : split(room);
  const fromChannel = channel === undefined ? undefined : split(channel);
  const roomName = pick('room', fromRoom?.head, fromChannel?.tail === undefined ? undefined : fromChannel.head);
  const channelName = pick('channel', fromRoom?.tail, fromChannel?.tail ?? fromChannel?.head);
  if (roomName === MAIL_ROOM && mailboxes) {
    if (channelName !== undefined && isMailboxChannel(channelName)) return { room: roomName, channel: channelName };
    throw new BusError('VALIDATION_ERROR', 'Name one mailbox: the room "@" with the channel of its subject.', {
      field: 'channel',
      expected: 'mailbox',
    });
  }
  if (roomName !== undefined && roomName !== WILDCARD && !isRoomName(roomName)) throw badName('room', roomName);
  const isChannel = (name: string): boolean =>
    name === WILDCARD || isChannelName(name) || (patterns && isChannelPattern(name));
  if (channelName !== undefined && !isChannel(channelName)) {
    throw badName('channel', channelName, patterns && /[*>]/.test(channelName));
  }
  if (roomName === WILDCARD && channelName !== undefined && channelName !== WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'Name a room: "*" as a room only goes with all channels ("*:*").', {
      field: 'room',
    });
  }
  return {
    ...(roomName === undefined ? {} : { room: roomName }),
    ...(channelName === undefined ? {} : { channel: channelName }),
  };
}

function split(text: string): { head: string; tail: string | undefined } {
  const colon = text.indexOf(':');
  if (colon < 0) return { head: text, tail: undefined };
  return { head: text.slice(0, colon), tail: text.slice(colon + 1) };
}

function pick(field: string, first: string | undefined, second: string | undefined): string | undefined {
  if (first !== undefined && second !== undefined && first !== second) {
    throw new BusError('VALIDATION_ERROR', `"room" and "channel" name two different ${field}s; send one.`, { field });
  }
  return first ?? second;
}

function badName(field: 'room' | 'channel', value: string, isPattern = false): BusError {
  const extra = field === 'channel' ? ', "/"' : '';
  return new BusError(
    'VALIDATION_ERROR',
    isPattern
      ? 'In a pattern "*" stands alone between "." or "/", and ">" at the end.'
      : `A ${field} name is 1-128 letters, digits, ".", "_", "-"${extra}, and starts with a letter or digit.`,
    { field, value: value.slice(0, 140) },
  );
}

/** Compiled form of one glob, in which `*` matches any run of characters, including `/` and `:`. */
export type Glob = (text: string) => boolean;

/** Compiles a glob. Matching is linear in the text for every pattern: no backtracking beyond the last star. */
export function compileGlob(pattern: string): Glob {
  const parts = pattern.split('*');
  if (parts.length === 1) return (text) => text === pattern;
  const first = parts[0] ?? '';
  const last = parts[parts.length - 1] ?? '';
  const middle = parts.slice(1, -1).filter((part) => part !== '');
  if (first === '' && last === '' && middle.length === 0) return () => true;
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    const end = text.length - last.length;
    let from = first.length;
    for (const part of middle) {
      const at = text.indexOf(part, from);
      if (at < 0 || at + part.length > end) return false;
      from = at + part.length;
    }
    return true;
  };
}

/** Compiles a list of globs into one test; an empty list matches nothing. */
export function compileGlobs(patterns: readonly string[]): Glob {
  const globs = patterns.map(compileGlob);
  return (text) => globs.some((glob) => glob(text));
}
