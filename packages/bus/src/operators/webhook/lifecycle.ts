import { createHash } from 'node:crypto';
import { type JsonObject, MAIL_ROOM } from '@arqonbus/protocol';
import type { Retention, StreamAddress } from '../../engine/engine.ts';
import { addressOf, isChannel, type Movement } from '../../subscribe/attendance.ts';

/** Lifecycle events of a channel and its members, as reported by webhooks. */
export type LifecycleEvent = 'client_joined' | 'client_left' | 'occupied' | 'vacated';
export const LIFECYCLE_EVENTS: readonly LifecycleEvent[] = ['client_joined', 'client_left', 'occupied', 'vacated'];

/** Retention of one rule's events that its endpoint has not accepted yet. */
export const LIFECYCLE_RETENTION: Retention = { size: 10_000, ttlMs: 86_400_000, bytes: 16_777_216 };

/** An event to report. */
export interface Told {
  readonly event: LifecycleEvent;
  readonly room: string;
  readonly channel: string;
  /** The same for the same occurrence, on every node. */
  readonly id: string;
  readonly payload: JsonObject;
}

/** The member, as far as it distinguishes occurrences. */
export interface Who {
  readonly client_id: string;
  readonly joined_at: string;
}

/**
 * The stream in which a rule's lifecycle events wait: a mailbox of its own. No subject has a mailbox with such a name,
 * so nobody can read it or write to it.
 */
export function lifecycleStream(tenant: string, ruleId: string): StreamAddress {
  return { tenant, room: MAIL_ROOM, channel: `!${ruleId}` };
}

/** The events of a movement, in the order of reporting: a channel is occupied before a member joins it. */
export function lifecycleOf(ruleId: string, movement: Movement): Told[] {
  if (movement.kind === 'renamed') return [];
  const { room, channel } = movement;
  if (movement.kind === 'joined') {
    const { client_id, sender, joined_at } = movement.member.record;
    const who = { client_id, joined_at };
    const joined = told(ruleId, 'client_joined', movement, who, { client_id, sender, joined_at });
    return movement.isFirst && isChannel(movement)
      ? [told(ruleId, 'occupied', { room, channel }, who), joined]
      : [joined];
  }
  const { client_id, sender, joined_at, cause } = movement.departure;
  const who = { client_id, joined_at };
  const left = told(ruleId, 'client_left', movement, who, { client_id, sender, joined_at, cause });
  return movement.isLast && isChannel(movement) ? [left, told(ruleId, 'vacated', { room, channel }, who)] : [left];
}

export function told(
  ruleId: string,
  event: LifecycleEvent,
  { room, channel }: { readonly room: string; readonly channel: string },
  { client_id, joined_at }: Who,
  facts: JsonObject = {},
): Told {
  const about = [ruleId, event, addressOf(room, channel), client_id, joined_at].join('\n');
  const id = `arq_${createHash('sha256').update(about).digest('base64url').slice(0, 27)}`;
  return { event, room, channel, id, payload: { event, room, channel, ...facts } };
}
