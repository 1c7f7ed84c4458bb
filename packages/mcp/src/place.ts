import { ArqonBusError } from '@arqonbus/client';
import { isChannelName, isRoomName } from '@arqonbus/protocol';

/** A channel, to read messages without taking them. */
export interface ChannelPlace {
  readonly kind: 'channel';
  readonly room: string;
  readonly channel: string;
}

/** A group of a channel: each message goes to one member until it is done. */
export interface GroupPlace {
  readonly kind: 'group';
  readonly room: string;
  readonly channel: string;
  readonly group: string;
}

/** The agent's own mailbox. */
export interface Inbox {
  readonly kind: 'inbox';
}

export type Place = ChannelPlace | GroupPlace | Inbox;

/** The name of the agent's own mailbox. */
export const INBOX = 'inbox';
const GROUP_NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Parses `inbox`, `ROOM:CHANNEL` or `ROOM:CHANNEL#GROUP`. Throws INVALID_ARGUMENT. */
export function readPlace(text: string): Place {
  if (text === INBOX) return { kind: 'inbox' };
  const hash = text.indexOf('#');
  if (hash < 0) return readChannel(text);
  const { room, channel } = readChannel(text.slice(0, hash));
  const group = text.slice(hash + 1);
  if (!GROUP_NAME.test(group)) throw invalid(`"${group}" is not a group name; write ROOM:CHANNEL#GROUP.`);
  return { kind: 'group', room, channel, group };
}

/** Parses `ROOM:CHANNEL`. Throws INVALID_ARGUMENT. */
export function readChannel(text: string): ChannelPlace {
  const [room = '', channel = '', ...rest] = text.split(':');
  if (!isRoomName(room) || !isChannelName(channel) || rest.length > 0) {
    throw invalid(`"${text.slice(0, 200)}" is not a channel; write ROOM:CHANNEL, such as science:explore.`);
  }
  return { kind: 'channel', room, channel };
}

/** Throws INVALID_ARGUMENT for a place from which no work can be taken. */
export function readQueue(text: string): GroupPlace | Inbox {
  const place = readPlace(text);
  if (place.kind !== 'channel') return place;
  throw invalid(`Work is taken from "${INBOX}" or from a group, ROOM:CHANNEL#GROUP; read and wait are for channels.`);
}

export function invalid(sentence: string): ArqonBusError {
  return new ArqonBusError('INVALID_ARGUMENT', sentence);
}
