import { BusError, MAIL_ROOM, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import type { Access } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import { hasRole } from '../principal.ts';
import { type GivenSettings, type GroupPlace, type GroupRecord, settingsOf } from './group.ts';

/** Users of a group need access to its source. Throws VALIDATION_ERROR for an invalid source, AUTHORIZATION_ERROR. */
export function requireSource(access: Access, { principal }: Sender, { room, channel }: GroupPlace): void {
  if (room === WILDCARD) {
    throw new BusError('VALIDATION_ERROR', 'A group belongs to one room; name it.', {
      field: 'room',
      expected: 'name',
    });
  }
  if (channel === PRIVATE_CHANNEL && room !== MAIL_ROOM) {
    throw new BusError('VALIDATION_ERROR', 'The channel "pm" keeps nothing that a group could read.', {
      field: 'channel',
    });
  }
  access.require(principal, 'group', room, channel);
}

/** Throws AUTHORIZATION_ERROR for anyone but the owner of a group and admins. */
export function requireOwner({ identity, principal }: Sender, { owner, room, channel, group }: GroupRecord): void {
  if (identity === owner || hasRole(principal, 'admin')) return;
  throw new BusError('AUTHORIZATION_ERROR', 'Only whoever made this group, or an admin, may do this.', {
    room,
    channel,
    group,
  });
}

/**
 * Setting a dead letter channel requires the right to publish there, because the group publishes for its owner. Throws
 * VALIDATION_ERROR for an invalid address, AUTHORIZATION_ERROR.
 */
export function requireDeadLetters(access: Access, { principal }: Sender, given: GivenSettings): void {
  const { dead_letter } = settingsOf(given);
  if (dead_letter === null) return;
  const [room = '', channel = ''] = dead_letter.split(':');
  access.require(principal, 'publish', room, channel);
}
