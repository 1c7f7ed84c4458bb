import type { Envelope, JsonObject, Position, SenderRecord } from '@arqonbus/protocol';

/**
 * A received envelope, with its most common fields.
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
  /** The sender, as the server knows it: `subject`, `name`, `type`, `role`. Undefined for the server itself. */
  readonly sender: SenderRecord | undefined;
  /** Accept time at the server, RFC 3339. */
  readonly timestamp: string;
  readonly payload: P;
  /** Position in the channel's order, from 1; undefined on private messages and on traffic that is not stored. */
  readonly sequence: number | undefined;
  /** The same with its epoch: pass it as `since` to resume after this message. */
  readonly position: Position | undefined;
  /** Whether it was replayed from history. */
  readonly replayed: boolean;
  /** The envelope as received. */
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
