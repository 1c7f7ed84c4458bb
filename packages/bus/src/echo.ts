import type { Session } from './connection/session.ts';
import type { Channel, Rooms } from './rooms.ts';

/**
 * Whether a session receives the events it publishes to a channel: as the channel's rule says, else if any of its
 * memberships that cover the channel asks for echo.
 */
export function hearsItself(rooms: Pick<Rooms, 'policy'>, session: Session, channel: Channel): boolean {
  return rooms.policy(channel).echo ?? wantsEcho(session, channel);
}

function wantsEcho(session: Session, channel: Channel): boolean {
  const { parent } = channel;
  if (channel.members.get(session)?.echo === true) return true;
  if (parent.wide.members.get(session)?.echo === true) return true;
  if (parent.tenant.everything.members.get(session)?.echo === true) return true;
  if (!channel.isWide) {
    for (const pattern of channel.patterns) if (pattern.members.get(session)?.echo === true) return true;
    return false;
  }
  for (const [other, membership] of session.memberships) {
    if (other.room === channel.room && membership.echo) return true;
  }
  return false;
}
