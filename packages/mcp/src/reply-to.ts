import type { Envelope } from '@arqonbus/protocol';
import { invalid, readChannel } from './place.ts';

/** The destination of a reply. */
export type ReplyTo =
  | { readonly kind: 'channel'; readonly id: string; readonly channel: string }
  /** The first connected one of these targets. */
  | { readonly kind: 'private'; readonly id: string; readonly targets: readonly string[] };

const ID = /^arq_[\w-]{1,124}$/;

/**
 * The token that a model passes back to reply to a message. It contains everything needed, so no state is kept between
 * calls; connection ids are encoded in it.
 */
export function writeReplyTo(envelope: Envelope): string {
  const { id, type, from, room, channel, metadata = {} } = envelope;
  const { sender, request, delivery } = metadata as {
    sender?: { subject?: string };
    request?: unknown;
    delivery?: unknown;
  };
  // A reply in the work's own channel would become work again.
  const isOpen = type === 'event' && request === undefined && delivery === undefined;
  if (isOpen && room !== undefined && channel !== undefined && channel !== '*') return `${id}@${room}:${channel}`;
  const subject = sender?.subject;
  const mailbox = subject === undefined ? [] : [`@${subject}`];
  const live = subject === undefined ? [] : [`sub:${subject}`];
  // The requester waits on the connection that sent the request.
  const targets = request === undefined ? [...mailbox, ...live, from] : [from, ...live, ...mailbox];
  return `~${Buffer.from(JSON.stringify([id, ...targets])).toString('base64url')}`;
}

/** Throws INVALID_ARGUMENT. */
export function readReplyTo(text: string): ReplyTo {
  const at = text.indexOf('@');
  if (at > 0 && ID.test(text.slice(0, at))) {
    const channel = text.slice(at + 1);
    readChannel(channel);
    return { kind: 'channel', id: text.slice(0, at), channel };
  }
  let parts: unknown;
  try {
    parts = text.startsWith('~') ? JSON.parse(Buffer.from(text.slice(1), 'base64url').toString('utf8')) : undefined;
  } catch {
    parts = undefined;
  }
  if (
    Array.isArray(parts) &&
    parts.length >= 2 &&
    parts.length <= 4 &&
    parts.every((part) => typeof part === 'string')
  ) {
    const [id, ...targets] = parts as [string, ...string[]];
    if (ID.test(id)) return { kind: 'private', id, targets };
  }
  throw invalid('"to" is the reply_to of a message that you were given, as it was.');
}
