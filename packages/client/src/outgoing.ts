import { type Envelope, isId, type JsonObject, type Metadata, newId } from '@arqonbus/protocol';
import { type AddressInput, readAddress } from './address.ts';
import { invalidArgument } from './errors.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Outgoing, WireOptions } from './queue.ts';
import type { Receipt } from './receipts.ts';
import type { Target } from './request.ts';

/**
 * The options of a publish. Every message waits for its ack, except with `ack: false`.
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 }, { id: 'arq_order-4711', timeoutMs: 2_000 });
 * await client.publish('science:cursors', { x: 3, y: 4 }, { ack: false });
 * ```
 */
export interface PublishOptions extends WaitOptions {
  /**
   * true (default): resolve with the {@link Ack} when the server has stored and sent it on; sent again if the
   * connection breaks. false: resolve when it is sent; a refusal then arrives as the client's `error` event.
   */
  ack?: boolean;
  /** `arq_…`; the same id within 120 s is stored once. Default: a new one. */
  id?: string;
  /** After this many seconds it is not delivered, replayed or listed. */
  ttlSeconds?: number;
  /**
   * Stored only if the channel is at this position, else refused with `CONFLICT`, which has its position: after this
   * sequence (0: it is empty), or after the message with this id.
   */
  expect?: { sequence: number; epoch?: string } | { lastId: string };
  /** Only for current members: no sequence, no history, no groups. */
  ephemeral?: boolean;
  /** Removes the channel's retained value. The event itself is delivered as usual. */
  clear?: boolean;
  /** Delivered at this time; a text is RFC 3339. */
  deliverAt?: Date | string;
  /** Delivered after this many seconds. */
  delaySeconds?: number;
  /**
   * Requests a receipt: `true` for mail (`@NAME`), the name of the group for an event.
   * See {@link Sent.handled} and the event `receipt`.
   */
  receipt?: boolean | string;
  /**
   * Requests an answer from one member of a group, or the recipient, within this time; `request()` also waits for it.
   */
  request?: { timeoutMs: number; group?: string };
  /** Sent with the message: `causal_parent_id`, `vector_clock`, `traceparent`, and your own keys. */
  metadata?: Metadata;
}

/**
 * The options of a private message.
 *
 * ```ts
 * await client.send('sub:ada', { text: 'psst' }, { room: 'science' });
 * ```
 */
export interface SendOptions extends PublishOptions {
  /** Only for recipients that are members of this room. */
  room?: string;
}

/**
 * A message that was sent.
 *
 * ```ts
 * const { id } = await client.publish('science:explore', { n: 1 }, { ack: false });
 * ```
 */
export interface Sent {
  readonly id: string;
  /** With `receipt`: the outcome of the message. Rejects if the client is closed before that. */
  readonly handled?: Promise<Receipt>;
}

/**
 * The server has stored the message, with the durability in `stored`, and sent it on (PROTOCOL section 6).
 *
 * ```ts
 * const { sequence, stored, delivered } = await client.publish('science:explore', { n: 1 });
 * ```
 */
export interface Ack extends Sent {
  /** Position in the channel's order; 0 if it was not stored. */
  readonly sequence: number;
  readonly epoch: string;
  /** Connections of the server's node that received it. */
  readonly delivered: number;
  /** The same id was stored before: `sequence` is the first one's. */
  readonly duplicate: boolean;
  readonly stored: 'none' | 'memory' | 'disk' | 'replicated';
}

/**
 * A private message was sent to the connected recipients.
 *
 * ```ts
 * const { undelivered } = await client.send(['sub:ada', 'sub:bob'], { text: 'psst' });
 * ```
 */
export interface PrivateAck extends Sent {
  readonly delivered: number;
  readonly duplicate: boolean;
  /** Recipients that are not connected. */
  readonly undelivered: readonly string[];
  /** Mailboxes (`@NAME`) that keep it until it is handled. */
  readonly queued?: readonly string[];
  /** The number of waiting messages in the fullest of them. */
  readonly pending?: number;
  /** How long the oldest of these has waited, milliseconds. */
  readonly oldestMs?: number;
}

export function event(at: AddressInput, payload: object, options: PublishOptions): Outgoing {
  return message('event', payload, options, readAddress(at));
}

export function privately(to: Target, payload: object, options: SendOptions & { requestId?: string }): Outgoing {
  const { room, requestId } = options;
  return message('private', payload, options, {
    to: typeof to === 'string' ? to : [...to],
    ...given({ room, request_id: requestId }),
  });
}

export function telemetry(
  eventType: string,
  payload: object,
  options: PublishOptions & { at?: AddressInput },
): Outgoing {
  return message('telemetry', { eventType, payload }, options, { ...(options.at && readAddress(options.at)) });
}

/** The known fields of {@link PublishOptions}, {@link SendOptions} and similar: a misspelled one is an error. */
const SETTINGS: ReadonlySet<string> = new Set(
  (
    'id ack metadata ttlSeconds expect ephemeral clear deliverAt delaySeconds receipt request room requestId at ' +
    'timeoutMs signal'
  ).split(' '),
);

function message(type: Envelope['type'], payload: object, settings: PublishOptions, rest: Partial<Outgoing>): Outgoing {
  for (const name in settings) {
    if (!SETTINGS.has(name)) throw invalidArgument(`"${name}" is not an option of a message.`);
  }
  const { id = newId(), ack = true, metadata } = settings;
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw invalidArgument('A payload is an object; put other values into a field of one.');
  }
  // The server could not name the refused message.
  if (!isId(id)) throw invalidArgument(`"${id}" is not an id: arq_ and 1-124 letters, digits, "_", "-".`);
  const options = wireOptions(settings);
  return { id, type, ...rest, payload: payload as JsonObject, ...given({ ack: ack || undefined, metadata, options }) };
}

/** Undefined if no option is set. */
function wireOptions(settings: PublishOptions): WireOptions | undefined {
  const { ttlSeconds, expect, ephemeral, clear, deliverAt, delaySeconds, receipt, request } = settings;
  const options = given({
    ttl_seconds: ttlSeconds,
    expect: expect !== undefined && 'lastId' in expect ? { last_id: expect.lastId } : expect,
    ephemeral: ephemeral || undefined,
    clear: clear || undefined,
    deliver_at: deliverAt instanceof Date ? deliverAt.toISOString() : deliverAt,
    delay_seconds: delaySeconds,
    receipt: receipt || undefined,
    request: request && given({ timeout_ms: request.timeoutMs, group: request.group }),
  });
  return Object.values(options).some((value) => value !== undefined) ? options : undefined;
}
