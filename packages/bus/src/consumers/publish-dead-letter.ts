import { BusError, type Envelope, MAIL_ROOM, splitMetadata, WILDCARD } from '@arqonbus/protocol';
import type { Publisher } from '../publish.ts';
import type { Rooms } from '../rooms.ts';
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
 * Publishes a dead letter where its group wants it, mail only where that was said. Rejects with STORAGE_UNAVAILABLE alone: whatever else refuses it, it
 * is kept among the group's dead letters.
 */
export async function publishDeadLetter(
  { rooms, publisher, options }: DeadLetterPublisher,
  tenantName: string,
  { room, group, group_id, settings }: GroupRecord,
  { channel, sequence, attempts, reason, text, retries, id }: DeadLetter,
): Promise<void> {
  // A dead letter of mail is kept with its group: the channel beside a mailbox is the mailbox of somebody else.
  if (room === MAIL_ROOM && settings.dead_letter === null) return;
  const source = channel === WILDCARD ? 'room' : channel.slice(0, MAX_SOURCE_NAME);
  const [deadRoom = room, deadChannel = ''] = (settings.dead_letter ?? `${room}:${source}.dead`).split(':');
  const { payload, metadata = {} } = JSON.parse(text) as Envelope;
  try {
    const tenant = rooms.tenant(tenantName);
    // Also where channels do not make themselves: the group was made to have this one.
    if (tenant.find(deadRoom, deadChannel) === undefined) {
      rooms.create(tenant, deadRoom, deadChannel, { autoCreated: true });
    }
    // The same death twice is one event, each further death is another.
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
