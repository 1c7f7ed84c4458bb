import type { JsonObject } from '@arqonbus/protocol';

/** The inspected content of a message, and its address. */
export interface Inspected {
  /** `profile`: a client's public profile, from its handshake or `identify`. */
  readonly type: 'event' | 'private' | 'command' | 'telemetry' | 'profile';
  /** The envelope's id. */
  readonly id?: string | undefined;
  /** The id of the envelope that this one replies to. */
  readonly requestId?: string | undefined;
  /** Undefined without a room, as for some private messages. */
  readonly room: string | undefined;
  /** `*` for all channels of the room. */
  readonly channel: string | undefined;
  /** For private messages. */
  readonly to?: readonly string[] | undefined;
  /** The payload, or the arguments of a command. */
  readonly payload: JsonObject;
  /** The client's own metadata of the envelope, without the server's keys. */
  readonly metadata?: JsonObject | undefined;
  /**
   * Dotted paths to parts of the payload that are intended to contain secrets (`token`, `headers`, `rules.*.secret`;
   * the empty path is the whole payload): not inspected, passed on unchanged, and never shown to observers.
   */
  readonly secretPaths?: readonly string[] | undefined;
}

/**
 * Which members are content, and which are addresses, names or settings. Content is redacted. The rest is also
 * inspected and can block a message, but is never rewritten: a message must reach its address, and a command must do
 * what it says.
 */
export interface Layout {
  /** Whether a top-level member is not content. */
  readonly isFixed: (name: string) => boolean;
  /** Whether the name of a top-level member is defined by the protocol, so that a client cannot hide anything in it. */
  readonly isKnown: (name: string) => boolean;
}

const NOBODY = (): boolean => false;
const ANYBODY = (): boolean => true;

function among(...names: readonly string[]): (name: string) => boolean {
  const set = new Set(names);
  return (name) => set.has(name);
}

/** Command arguments with content: published, stored or shown to people. */
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
  // An alternative to the envelope's `to`.
  private: { isFixed: among('target'), isKnown: among('target') },
  command: { isFixed: (name) => !isContentArgument(name), isKnown: ANYBODY },
  telemetry: {
    isFixed: among('eventType', 'room', 'channel'),
    isKnown: among('eventType', 'room', 'channel', 'payload'),
  },
  profile: { isFixed: (name) => !isContentArgument(name), isKnown: ANYBODY },
};

const isProtocolMetadata = among('vector_clock', 'causal_parent_id', 'traceparent');

/** The layout of envelope metadata: keys that order, trace or identify messages are fixed. */
export const METADATA: Layout = {
  isFixed: (name) => isProtocolMetadata(name) || name === 'id' || name.endsWith('_id') || name === 'reply_to',
  isKnown: isProtocolMetadata,
};

/** The layout of an envelope's payload, or of a command's arguments. */
export function layoutOf(type: Inspected['type']): Layout {
  return PAYLOADS[type];
}

/**
 * Whether a text is a generated id of the server or an SDK. Such ids are random, so patterns for numbers would match
 * some of them; they are searched for secret formats only.
 */
export function isMadeId(text: string): boolean {
  return text.startsWith('arq_');
}
