import type { JsonObject } from '@arqonbus/protocol';

/** What is inspected: all that travels of one message, and where it goes. */
export interface Inspected {
  /** `profile`: how a client wants to be known to others, at its handshake or by `identify`. */
  readonly type: 'event' | 'private' | 'command' | 'telemetry' | 'profile';
  /** The envelope's id. */
  readonly id?: string | undefined;
  /** The id of the envelope that this one answers. */
  readonly requestId?: string | undefined;
  /** Undefined when it goes to no room, as a private message can. */
  readonly room: string | undefined;
  /** `*` when it goes to all channels of the room. */
  readonly channel: string | undefined;
  /** Of a private message. */
  readonly to?: readonly string[] | undefined;
  /** The payload; of a command its arguments. */
  readonly payload: JsonObject;
  /** What the client itself wrote into the envelope's metadata, without the server's keys. */
  readonly metadata?: JsonObject | undefined;
  /**
   * Dotted paths in the payload to what is meant to hold a secret (`token`, `headers`, `rules.*.secret`; the empty path
   * is all of it): not inspected, passed on as it is, and never shown to observers.
   */
  readonly secretPaths?: readonly string[] | undefined;
}

/**
 * Which members of what travels are content, and which address, name or set something. Content is redacted. The rest is
 * inspected too and can block a message, but is never rewritten: a message must go where it was sent, and a command
 * must do what it says.
 */
export interface Layout {
  /** Whether a member at the top holds no content. */
  readonly isFixed: (name: string) => boolean;
  /** Whether the name of a member at the top is one of the protocol's own, which nobody can write anything into. */
  readonly isKnown: (name: string) => boolean;
}

const NOBODY = (): boolean => false;
const ANYBODY = (): boolean => true;

function among(...names: readonly string[]): (name: string) => boolean {
  const set = new Set(names);
  return (name) => set.has(name);
}

/** Arguments of commands that carry content: what is published, stored or shown to people. */
const isContentArgument = among(
  'payload',
  'value',
  'echo',
  'state',
  'metadata',
  'description',
  'reason',
  'screen_name',
  'avatar',
  'personality',
);

const PAYLOADS: Readonly<Record<Inspected['type'], Layout>> = {
  event: { isFixed: NOBODY, isKnown: NOBODY },
  // Another way to write the envelope's `to`.
  private: { isFixed: among('target'), isKnown: among('target') },
  command: { isFixed: (name) => !isContentArgument(name), isKnown: ANYBODY },
  telemetry: {
    isFixed: among('eventType', 'room', 'channel'),
    isKnown: among('eventType', 'room', 'channel', 'payload'),
  },
  profile: { isFixed: (name) => !isContentArgument(name), isKnown: ANYBODY },
};

const isProtocolMetadata = among('vector_clock', 'causal_parent_id', 'traceparent');

/** Of an envelope's metadata: what orders, traces or identifies messages is fixed. */
export const METADATA: Layout = {
  isFixed: (name) => isProtocolMetadata(name) || name === 'id' || name.endsWith('_id') || name === 'reply_to',
  isKnown: isProtocolMetadata,
};

/** Of the payload of an envelope, or of the arguments of a command. */
export function layoutOf(type: Inspected['type']): Layout {
  return PAYLOADS[type];
}

/**
 * Whether a text is an id as the server and the SDKs make them. Such ids are random, so patterns that are meant for
 * numbers would match one in so many of them; only the shapes of secrets are looked for there.
 */
export function isMadeId(text: string): boolean {
  return text.startsWith('arq_');
}
