import { createHash } from 'node:crypto';
import {
  BusError,
  type JsonObject,
  type MessageOptions,
  type Metadata,
  parseTimestamp,
  type SenderRecord,
} from '@arqonbus/protocol';
import type { Sender } from '../../connection/session.ts';
import { hasRole, type Principal } from '../../principal.ts';
import type { Examined, Message } from '../../publish.ts';
import { systemSender } from '../../system-sender.ts';

/** The stored parts of a delayed event besides its job, which identify its sender. */
export interface DelayedMessage {
  readonly id: string;
  readonly from: string;
  readonly sender: SenderRecord;
  readonly metadata?: Metadata;
  readonly requestId?: string;
  readonly options?: MessageOptions;
}

/** Seconds until a message is due; 0 when that time has passed. Throws VALIDATION_ERROR beyond a year. */
export function delayOf(
  { deliver_at: at, delay_seconds: delay = 0 }: MessageOptions,
  now: number,
  most: number,
): number {
  if (at === undefined) return delay;
  const seconds = Math.max(0, ((parseTimestamp(at) ?? now) - now) / 1000);
  if (seconds <= most) return seconds;
  throw new BusError('VALIDATION_ERROR', `"options.deliver_at" is at most ${most} seconds ahead.`, {
    field: 'options.deliver_at',
    expected: `at most ${most} seconds ahead`,
  });
}

/** One job per id, sender and place, however often the message is sent. */
export function jobIdOf({ identity }: Sender, { id }: Message, { room, channel }: Examined['address']): string {
  const hash = createHash('sha256').update(JSON.stringify([identity, room, channel, id]));
  return `cron_${hash.digest('hex').slice(0, 26)}`;
}

/** A job ends with its owner's token: a message due later is refused now rather than lost then. */
export function requireTokenUntil({ expiresAt, ...principal }: Principal, due: number): void {
  if (expiresAt === null || due < expiresAt || hasRole(principal, 'admin')) return;
  throw new BusError('AUTHORIZATION_ERROR', 'Your token expires before then; renew it first, or deliver earlier.', {
    field: 'options.deliver_at',
    expires_at: new Date(expiresAt).toISOString(),
  });
}

export function delayedMessage(
  sender: Sender,
  { id, requestId, options }: Message,
  metadata: Metadata | undefined,
): DelayedMessage {
  const { deliver_at: _at, delay_seconds: _delay, ...rest } = options ?? {};
  return {
    id,
    from: sender.id,
    sender: sender.mark.record,
    ...(metadata === undefined ? {} : { metadata }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(Object.keys(rest).length === 0 ? {} : { options: rest }),
  };
}

/** The publisher of a delayed event: its sender, with its current rights. */
export function senderOf({ from, sender: record }: DelayedMessage, principal: Principal, identity: string): Sender {
  return systemSender(from, principal, identity, { record, text: `"sender":${JSON.stringify(record)}` });
}

/** The event as if it had just been sent. */
export function messageOf(kept: DelayedMessage, room: string, channel: string, payload: JsonObject): Message {
  const { id, metadata, requestId, options } = kept;
  return { id, type: 'event', room, channel, payload, metadata, requestId, options };
}
