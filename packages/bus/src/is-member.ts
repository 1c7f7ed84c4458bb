import type { Sender } from './connection/session.ts';
import type { Channel } from './rooms.ts';

/** Membership of the channel or its room; a room-wide event needs any membership in the room. */
export function isMember(sender: Sender, channel: Channel | undefined, wide: Channel | undefined): boolean {
  const memberships = sender.session?.memberships;
  if (memberships === undefined || wide === undefined) return false;
  if (memberships.has(wide) || (channel !== undefined && memberships.has(channel))) return true;
  if (channel?.patterns.some((pattern) => memberships.has(pattern)) === true) return true;
  if (channel !== wide) return false;
  for (const joined of memberships.keys()) if (joined.room === wide.room) return true;
  return false;
}
