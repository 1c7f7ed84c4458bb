import type { Envelope, JsonObject, Position, SenderRecord } from '@arqonbus/protocol';

/**
 * An envelope as it is handed to the user: what one reads most, at hand.
 *
 * ```ts
 * for await (const { from, payload, sequence } of subscription) console.log(sequence, from, payload);
 * ```
 */
export interface Message<P = JsonObject> {
  readonly id: string;
  readonly room: string | undefined;
  /** `*` on a room-wide event. */
  readonly channel: string | undefined;
  /** Client id of the sender. */
  readonly from: string;
  /** Who that is, as the server knows it: `subject`, `name`, `type`, `role`. Undefined from the server itself. */
  readonly sender: SenderRecord | undefined;
  /** Accept time at the server, RFC 3339. */
  readonly timestamp: string;
  readonly payload: P;
  /** Place in the channel's order, from 1; undefined on private messages and on traffic that is not stored. */
  readonly sequence: number | undefined;
  /** The same with its epoch: what `since` takes to go on after this message. */
  readonly position: Position | undefined;
  /** Whether it comes from history rather than live. */
  readonly replayed: boolean;
  /** The envelope as it came over the wire. */
  readonly envelope: Envelope<P>;
}

export function toMessage<P = JsonObject>(envelope: Envelope<P>): Message<P> {
  const { id, room, channel, from, timestamp, payload, metadata } = envelope;
  const { sequence, epoch, replayed, sender } = metadata ?? {};
  return {
    id,
    room,
    channel,
    from,
    sender,
    timestamp,
    payload,
    sequence,
    position: sequence && epoch ? { sequence, epoch } : undefined,
    replayed: replayed === true,
    envelope,
  };
}
