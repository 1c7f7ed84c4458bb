import { BusError, type Envelope, MAIL_ROOM, splitMetadata, WILDCARD } from '@arqonbus/protocol';
import type { Publisher } from '../publish.ts';
import { AUTOMATIC, type Rooms } from '../rooms.ts';
import { serverPrincipal, systemSender } from '../system-sender.ts';
import type { DeadLetter } from './dead-letters.ts';
import type { GroupRecord } from './group.ts';

/** Longest name that leaves room for ".dead". */
const MAX_SOURCE_NAME = 123;

export interface DeadLetterPublisher {
  readonly rooms: Rooms;
  readonly publisher: Publisher;
  readonly options: { readonly onFault: (error: unknown) => void };
}

/**
 * Publishes a dead letter to its group's dead letter channel; for mail only if one is set. Rejects only with
 * STORAGE_UNAVAILABLE: after any other error it is only kept among the group's dead letters.
 */
export async function publishDeadLetter(
  { rooms, publisher, options }: DeadLetterPublisher,
  tenantName: string,
  { room, group, group_id, settings }: GroupRecord,
  { channel, sequence, attempts, reason, text, retries, id }: DeadLetter,
): Promise<void> {
  // A dead letter of mail is kept with its group: a sibling channel of a mailbox is another subject's mailbox.
  if (room === MAIL_ROOM && settings.dead_letter === null) return;
  const source = channel === WILDCARD ? 'room' : channel.slice(0, MAX_SOURCE_NAME);
  const [deadRoom = room, deadChannel = ''] = (settings.dead_letter ?? `${room}:${source}.dead`).split(':');
  const { payload, metadata = {} } = JSON.parse(text) as Envelope;
  try {
    const tenant = rooms.tenant(tenantName);
    // Even without automatic channel creation: the group requires this channel.
    if (tenant.find(deadRoom, deadChannel) === undefined) {
      rooms.create(tenant, deadRoom, deadChannel, { traits: AUTOMATIC });
    }
    // Publishing the same death twice gives one event; each further death gives another.
    const sender = systemSender('arqonbus', serverPrincipal(tenantName), `group:${group_id}:${retries}`);
    const dead = { group, reason, attempts, room, channel, sequence };
    const own = splitMetadata(metadata).own;
    await publisher.announce(sender, {
      id,
      type: 'event',
      room: deadRoom,
      channel: deadChannel,
      payload,
      metadata: { ...own, dead },
    });
  } catch (error) {
    if (error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE') throw error;
    options.onFault(error);
  }
}
