import { createHash } from 'node:crypto';
import { type JsonObject, MAIL_ROOM } from '@arqonbus/protocol';
import type { Retention, StreamAddress } from '../../engine/engine.ts';
import { addressOf, isChannel, type Movement } from '../../subscribe/attendance.ts';

/** What happens to the members of a channel, as a webhook tells it. */
export type LifecycleEvent = 'client_joined' | 'client_left' | 'occupied' | 'vacated';
export const LIFECYCLE_EVENTS: readonly LifecycleEvent[] = ['client_joined', 'client_left', 'occupied', 'vacated'];

/** Of one rule: what its endpoint has not taken yet. */
export const LIFECYCLE_RETENTION: Retention = { size: 10_000, ttlMs: 86_400_000, bytes: 16_777_216 };

/** Something to tell. */
export interface Told {
  readonly event: LifecycleEvent;
  readonly room: string;
  readonly channel: string;
  /** The same for the same happening, whichever node tells of it. */
  readonly id: string;
  readonly payload: JsonObject;
}

/** Who it was, as far as that makes one happening another. */
export interface Who {
  readonly client_id: string;
  readonly joined_at: string;
}

/**
 * The stream that a rule's lifecycle events wait in: a mailbox of its own. No subject has a mailbox of such a name, so that
 * nobody can read it or write to it.
 */
export function lifecycleStream(tenant: string, ruleId: string): StreamAddress {
  return { tenant, room: MAIL_ROOM, channel: `!${ruleId}` };
}

/** What a movement means, in the order in which it is told: a channel is occupied before somebody is told to be in it. */
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
