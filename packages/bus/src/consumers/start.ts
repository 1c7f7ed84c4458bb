import { BusError, MAIL_ROOM, type Position, randomToken, WILDCARD } from '@arqonbus/protocol';
import type { Broker, StreamAddress } from '../engine/engine.ts';
import {
  type GivenSettings,
  type GroupPlace,
  type GroupRecord,
  isWide,
  MAX_STREAMS,
  settingsOf,
  streamName,
} from './group.ts';
import { covering } from './sources.ts';

/**
 * Where a group begins: with new events, with all kept events, after a position in its one stream, or with the events
 * accepted since a time (milliseconds since 1970).
 */
export type Start =
  | 'new'
  | 'all'
  | { readonly sequence: number; readonly epoch?: string | undefined }
  | { readonly time: number };

/** The default start of a group; in a mailbox, all waiting messages. */
export function defaultStart({ room }: GroupPlace): Start {
  return room === MAIL_ROOM ? 'all' : 'new';
}

/** A new group's record. Throws what {@link startPositions} throws, and VALIDATION_ERROR for its settings. */
export async function newGroup(
  broker: Broker,
  place: GroupPlace,
  given: GivenSettings,
  start: Start,
  more: Pick<GroupRecord, 'owner' | 'created_at' | 'isImplied'>,
): Promise<GroupRecord> {
  const { room, channel, group } = place;
  return {
    group_id: randomToken(20),
    room,
    channel,
    group,
    settings: settingsOf(given),
    paused: false,
    ...more,
    begin: await startPositions(broker, place, start),
  };
}

const AT_ONCE = 50;

/**
 * The start positions by channel. Throws CONFLICT for another epoch of the stream, VALIDATION_ERROR for a sequence with
 * several streams, LIMIT_EXCEEDED for too many streams.
 *
 * @param field the argument that holds the start, for error messages
 */
export async function startPositions(
  broker: Broker,
  { tenant, room, channel }: GroupPlace,
  start: Start,
  field: string = 'start',
): Promise<Record<string, Position>> {
  const positions: Record<string, Position> = Object.create(null);
  if (!isWide(channel)) {
    positions[channel] = await positionIn(broker, { tenant, room, channel }, start, field);
    return positions;
  }
  if (typeof start === 'object' && 'sequence' in start) {
    throw new BusError(
      'VALIDATION_ERROR',
      'A sequence belongs to one channel; start a room or a pattern at a time instead.',
      { field },
    );
  }
  const covers = covering(channel);
  const place = { tenant, room, channel, group: '' };
  const all = await broker.streams(tenant, room === WILDCARD ? undefined : room);
  const streams = all.filter((stream) => covers(stream.channel));
  if (streams.length > MAX_STREAMS) {
    throw new BusError('LIMIT_EXCEEDED', `A group reads at most ${MAX_STREAMS} channels; take a narrower pattern.`, {
      limit: MAX_STREAMS,
    });
  }
  for (let at = 0; at < streams.length; at += AT_ONCE) {
    const some = streams.slice(at, at + AT_ONCE);
    const found = await Promise.all(some.map((stream) => positionIn(broker, stream, start, field)));
    for (const [index, position] of found.entries())
      positions[streamName(place, some[index] as StreamAddress)] = position;
  }
  return positions;
}

async function positionIn(broker: Broker, stream: StreamAddress, start: Start, field: string): Promise<Position> {
  const { sequence, epoch, oldest } = await broker.state(stream);
  if (start === 'new') return { sequence, epoch };
  if (start === 'all') return { sequence: oldest - 1, epoch };
  if ('time' in start) {
    const [first] = await broker.history(stream, { fromTime: start.time, limit: 1 });
    return { sequence: first === undefined ? sequence : first.sequence - 1, epoch };
  }
  const details = { field, room: stream.room, channel: stream.channel, sequence, epoch };
  if (start.epoch !== undefined && start.epoch !== epoch) {
    throw new BusError('CONFLICT', 'The stream has been started over since then; its epoch is another one.', details);
  }
  if (start.sequence > sequence) {
    throw new BusError('CONFLICT', `The stream has come to ${sequence}; a group cannot begin after that.`, details);
  }
  return { sequence: start.sequence, epoch };
}
