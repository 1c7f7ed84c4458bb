import { type Draft, seal } from '@arqonbus/protocol';
import type { StoredEvent, StreamEvent } from '../engine.ts';

/**
 * The body of a stream entry or published message, which is the event without its position:
 *
 *     TAG TIME ID FROM_LENGTH IDENTITY_LENGTH FROM IDENTITY OPEN
 *
 * with one space after each of the first five, and none after FROM and IDENTITY (their lengths, in UTF-16 units, are
 * given). IDENTITY_LENGTH `-`: the identity is FROM. TAG is `ORIGIN.NUMBER`: the publishing process and the number of
 * its publication. Redis reads only TIME of a body, and the reader seals the envelope: the script copies the text once.
 *
 * Earlier releases wrote no IDENTITY_LENGTH and no IDENTITY; their entries are read as if the identity were FROM.
 */
export function encodeBody(tag: string, { time, id, from, open }: Draft, identity: string): string {
  const head = `${tag} ${time} ${id} ${from.length}`;
  return identity === from ? `${head} - ${from}${open}` : `${head} ${identity.length} ${from}${identity}${open}`;
}

/** Identifies a publication, so that its own process, and receivers of a duplicate, recognize it. */
export interface Tag {
  readonly origin: string;
  readonly number: number;
}

/** An event with its position, from a message or a stream entry. */
export interface Entry {
  readonly channel: string;
  readonly sequence: number;
  readonly epoch: string;
  /** Server time in microseconds at which it was stored: the order across streams. */
  readonly order: number;
  readonly tag: Tag;
  readonly time: number;
  readonly id: string;
  readonly from: string;
  readonly identity: string;
  readonly open: string;
}

/** Parses a published message: `CHANNEL SEQUENCE EPOCH ORDER BODY`. Throws if it is not one. */
export function decodeMessage(message: string): Entry {
  const channelEnd = message.indexOf(' ');
  const sequenceEnd = message.indexOf(' ', channelEnd + 1);
  const epochEnd = message.indexOf(' ', sequenceEnd + 1);
  const orderEnd = message.indexOf(' ', epochEnd + 1);
  if (!(channelEnd < sequenceEnd && sequenceEnd < epochEnd && epochEnd < orderEnd)) throw unreadable();
  return decodeBody(
    message.slice(0, channelEnd),
    Number(message.slice(channelEnd + 1, sequenceEnd)),
    message.slice(sequenceEnd + 1, epochEnd),
    Number(message.slice(epochEnd + 1, orderEnd)),
    message,
    orderEnd + 1,
  );
}

/** Parses a stream entry: its key `SEQUENCE-ORDER` and its body. */
export function decodeEntry(channel: string, epoch: string, key: string, body: string): Entry {
  const dash = key.indexOf('-');
  return decodeBody(channel, Number(key.slice(0, dash)), epoch, Number(key.slice(dash + 1)), body, 0);
}

const IDENTITY_LENGTH = /(-|\d+) /y;

function decodeBody(
  channel: string,
  sequence: number,
  epoch: string,
  order: number,
  text: string,
  start: number,
): Entry {
  const dot = text.indexOf('.', start);
  const tagEnd = text.indexOf(' ', dot);
  const timeEnd = text.indexOf(' ', tagEnd + 1);
  const idEnd = text.indexOf(' ', timeEnd + 1);
  const lengthEnd = text.indexOf(' ', idEnd + 1);
  if (!(dot < tagEnd && tagEnd < timeEnd && timeEnd < idEnd && idEnd < lengthEnd)) throw unreadable();
  IDENTITY_LENGTH.lastIndex = lengthEnd + 1;
  const identityLength = IDENTITY_LENGTH.exec(text)?.[1];
  const fromStart = lengthEnd + 1 + (identityLength === undefined ? 0 : identityLength.length + 1);
  const fromEnd = fromStart + Number(text.slice(idEnd + 1, lengthEnd));
  const from = text.slice(fromStart, fromEnd);
  const isItsOwn = identityLength === undefined || identityLength === '-';
  const identityEnd = isItsOwn ? fromEnd : fromEnd + Number(identityLength);
  return {
    channel,
    sequence,
    epoch,
    order,
    tag: { origin: text.slice(start, dot), number: Number(text.slice(dot + 1, tagEnd)) },
    time: Number(text.slice(tagEnd + 1, timeEnd)),
    id: text.slice(timeEnd + 1, idEnd),
    from,
    identity: isItsOwn ? from : text.slice(fromEnd, identityEnd),
    open: text.slice(identityEnd),
  };
}

function unreadable(): Error {
  return new Error('it is no event');
}

export function storedEvent(entry: Entry): StoredEvent {
  const { sequence, time, from, open, epoch } = entry;
  return { sequence, time, from, text: seal(open, sequence, epoch) };
}

export function streamEvent(tenant: string, room: string, entry: Entry): StreamEvent {
  const { channel, sequence, id, from, identity, open, epoch } = entry;
  return { stream: { tenant, room, channel }, sequence, id, from, identity, text: seal(open, sequence, epoch) };
}
