import { BusError, type ChannelRecord, type CommandResult, isRoomName, parseAddress } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Bus } from '../bus.ts';
import type { Awaitable } from '../engine/engine.ts';
import { may, type Principal } from '../principal.ts';
import { forbidden } from '../publish.ts';
import type { Channel } from '../rooms.ts';
import { COUNT } from '../schemas/fields.ts';
import { channelOf, PLACE } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { CHANNEL_INFO, CHANNEL_RECORD, CHANNEL_SUMMARY } from './records.ts';

const MAX_HISTORY = 100_000;
const MAX_TTL_SECONDS = 31_536_000;

const ROOM = z.strictObject({ room: z.string(), channels: COUNT, members: COUNT, hardcoded: z.boolean() });

/** list_rooms, list_channels, channel_info, create_channel, delete_channel. */
export function channelCommands(bus: Bus): AnyCommand[] {
  return [
    command({
      name: 'list_rooms',
      role: 'guest',
      description: 'Lists the rooms with their channels and members counted.',
      args: z.strictObject({}),
      result: z.strictObject({ rooms: z.array(ROOM) }),
      run: ({ sender }): CommandResult<'list_rooms'> => ({ rooms: listRooms(bus, sender.principal) }),
    }),
    command({
      name: 'list_channels',
      role: 'guest',
      description: 'Lists the channels of a room that your grants let you read.',
      args: z.strictObject({ room: PLACE.room }),
      result: z.strictObject({ channels: z.array(CHANNEL_SUMMARY) }),
      run: async ({ sender }, args): Promise<CommandResult<'list_channels'>> => {
        const { principal } = sender;
        const { room } = parseAddress(args.room, undefined);
        if (room === undefined || !isRoomName(room)) {
          throw new BusError('VALIDATION_ERROR', 'Name the room.', { field: 'room', expected: 'name' });
        }
        const channels = await bus.directory.channels(principal.tenant, room);
        const visible = channels.filter(({ channel }) => may(principal, 'subscribe', room, channel));
        if (visible.length > 0 || may(principal, 'subscribe', room, '*')) {
          if (bus.rooms.tenant(principal.tenant).rooms.has(room) || visible.length > 0) return { channels: visible };
          throw new BusError('NOT_FOUND', `The room ${room} does not exist.`, { room });
        }
        // The same answer whether the room exists or not.
        throw forbidden(room, '*');
      },
    }),
    command({
      name: 'channel_info',
      role: 'guest',
      description: 'Tells what a channel is, who is in it and where its stream stands.',
      args: z.strictObject(PLACE),
      result: CHANNEL_INFO,
      run: async ({ sender }, args): Promise<CommandResult<'channel_info'>> => {
        const channel = readable(bus, sender.principal, args);
        const [members, state] = await Promise.all([bus.directory.members(channel), bus.engine.broker.state(channel)]);
        return { ...channel.record(), members, sequence: state.sequence, epoch: state.epoch };
      },
    }),
    command({
      name: 'create_channel',
      role: 'admin',
      description: 'Makes a channel that stays until it is deleted.',
      args: z.strictObject({
        ...PLACE,
        description: z.string().max(1_024).describe('What the channel is for.').exactOptional(),
        type: z
          .string()
          .regex(/^[A-Za-z0-9._-]{1,64}$/)
          .describe('A word of your own for its kind.')
          .exactOptional(),
        history: z
          .strictObject({
            size: z.number().int().min(0).max(MAX_HISTORY).exactOptional(),
            ttl_seconds: z.number().int().min(1).max(MAX_TTL_SECONDS).exactOptional(),
          })
          .describe('How many envelopes it keeps, and for how long.')
          .exactOptional(),
        retain: z.boolean().describe('Keep it when it is idle, also if it was made by itself before.').exactOptional(),
      }),
      result: CHANNEL_RECORD,
      run: ({ sender }, args): Awaitable<ChannelRecord> => {
        const { room, channel: name } = channelOf(args);
        if (!may(sender.principal, 'publish', room, name)) throw forbidden(room, name);
        const { size, ttlMs, bytes } = bus.options.retention;
        const { history } = args;
        const made = bus.catalog.create(sender.principal.tenant, room, name, {
          createdBy: sender.id,
          description: args.description ?? null,
          ...(args.type === undefined ? {} : { type: args.type }),
          retain: args.retain ?? true,
          retention: {
            ...(bytes === undefined ? {} : { bytes }),
            size: history?.size ?? size,
            ttlMs: history?.ttl_seconds === undefined ? ttlMs : history.ttl_seconds * 1000,
          },
        });
        return made instanceof Promise ? made.then((channel) => channel.record()) : made.record();
      },
    }),
    command({
      name: 'delete_channel',
      role: 'admin',
      description: 'Deletes an empty channel and its history.',
      args: z.strictObject(PLACE),
      result: z.strictObject({ deleted: z.literal(true), room: z.string(), channel: z.string() }),
      run: async ({ sender }, args): Promise<CommandResult<'delete_channel'>> => {
        const channel = readable(bus, sender.principal, args);
        const { room, channel: name } = channel;
        if (!may(sender.principal, 'publish', room, name)) throw forbidden(room, name);
        if (channel.traits.hardcoded) {
          throw new BusError('PROTECTED_CHANNEL', `${room}:${name} is built in and stays.`, { room, channel: name });
        }
        const members = await bus.directory.memberCount(channel);
        if (members > 0) {
          throw new BusError('CHANNEL_NOT_EMPTY', `${room}:${name} has ${members} members; they must leave first.`, {
            room,
            channel: name,
            members,
          });
        }
        await bus.catalog.delete(channel);
        bus.notices.deleted(channel, 'command');
        return { deleted: true, room, channel: name };
      },
    }),
  ];
}

/**
 * A channel that the caller may read. AUTHORIZATION_ERROR comes before NOT_FOUND: whoever may not read a channel does
 * not learn whether it exists.
 */
function readable(bus: Bus, principal: Principal, args: { room?: string; channel?: string }): Channel {
  const { room, channel: name } = channelOf(args);
  if (!may(principal, 'subscribe', room, name)) throw forbidden(room, name);
  const channel = bus.rooms.tenant(principal.tenant).find(room, name);
  if (channel !== undefined) return channel;
  throw new BusError('NOT_FOUND', `The channel ${room}:${name} does not exist.`, { room, channel: name });
}

function listRooms(bus: Bus, principal: Principal): CommandResult<'list_rooms'>['rooms'] {
  const rooms: CommandResult<'list_rooms'>['rooms'] = [];
  for (const room of bus.rooms.tenant(principal.tenant).rooms.values()) {
    const visible = [...room.channels.values()].filter((one) => may(principal, 'subscribe', room.name, one.channel));
    const all = may(principal, 'subscribe', room.name, '*');
    if (visible.length === 0 && !all) continue;
    // Someone who sees a part of the room counts that part.
    const members = all ? room.members() : new Set(visible.flatMap((one) => [...one.members.keys()]));
    rooms.push({ room: room.name, channels: visible.length, members: members.size, hardcoded: room.hardcoded });
  }
  return rooms;
}
