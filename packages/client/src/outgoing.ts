import { type Envelope, isId, type JsonObject, type Metadata, newId } from '@arqonbus/protocol';
import { type AddressInput, readAddress } from './address.ts';
import { invalidArgument } from './errors.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Outgoing } from './queue.ts';
import type { Target } from './request.ts';

/**
 * How to publish. Every message waits for its ack unless it says `ack: false`.
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 }, { id: 'arq_order-4711', timeoutMs: 2_000 });
 * await client.publish('science:cursors', { x: 3, y: 4 }, { ack: false });
 * ```
 */
export interface PublishOptions extends WaitOptions {
  /**
   * true (default): resolve with the {@link Ack} when the server has stored and handed it on; sent again if the line
   * breaks. false: resolve when it has left; a refusal then comes as the client's `error` event.
   */
  ack?: boolean;
  /** `arq_…`; the same id within 120 s is stored once. Default: a fresh one. */
  id?: string;
  /** Travels with the message: `causal_parent_id`, `vector_clock`, `traceparent`, and keys of your own. */
  metadata?: Metadata;
}

/**
 * How to send a private message.
 *
 * ```ts
 * await client.send('sub:ada', { text: 'psst' }, { room: 'science' });
 * ```
 */
export interface SendOptions extends PublishOptions {
  /** Only to those recipients who are members of this room. */
  room?: string;
}

/**
 * A message that has left.
 *
 * ```ts
 * const { id } = await client.publish('science:explore', { n: 1 }, { ack: false });
 * ```
 */
export interface Sent {
  readonly id: string;
}

/**
 * The server has stored the message as durably as `stored` says, and handed it on (PROTOCOL section 6).
 *
 * ```ts
 * const { sequence, stored, delivered } = await client.publish('science:explore', { n: 1 });
 * ```
 */
export interface Ack extends Sent {
  /** Place in the channel's order; 0 when it was not stored. */
  readonly sequence: number;
  readonly epoch: string;
  /** Connections of the server's node that got it. */
  readonly delivered: number;
  /** The same id was stored before: `sequence` is the first one's. */
  readonly duplicate: boolean;
  readonly stored: 'none' | 'memory' | 'disk' | 'replicated';
}

/**
 * A private message was handed to those who are connected.
 *
 * ```ts
 * const { undelivered } = await client.send(['sub:ada', 'sub:bob'], { text: 'psst' });
 * ```
 */
export interface PrivateAck extends Sent {
  readonly delivered: number;
  readonly duplicate: boolean;
  /** Recipients who are not connected. */
  readonly undelivered: readonly string[];
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

function message(
  type: Envelope['type'],
  payload: object,
  { id = newId(), ack = true, metadata }: { id?: string; ack?: boolean; metadata?: JsonObject },
  rest: Partial<Outgoing>,
): Outgoing {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw invalidArgument('A payload is an object; put other values into a field of one.');
  }
  // The server could not say which message it refuses.
  if (!isId(id)) throw invalidArgument(`"${id}" is no id: arq_ and 1-124 letters, digits, "_", "-".`);
  return { id, type, ...rest, payload: payload as JsonObject, ...given({ ack: ack || undefined, metadata }) };
}
