import {
  BusError,
  type ChannelRecord,
  type CommandResult,
  isRoomName,
  type JsonObject,
  parseAddress,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { andThen } from '../awaitable.ts';
import type { Core } from '../core.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Principal } from '../principal.ts';
import { AUTOMATIC, type Channel, type ChannelTraits, Room } from '../rooms.ts';
import { COUNT } from '../schemas/fields.ts';
import { channelOf, PAGE, PLACE, pageOf } from './arguments.ts';
import { type AnyCommand, command } from './command.ts';
import { CHANNEL_INFO, CHANNEL_RECORD, CHANNEL_SUMMARY } from './records.ts';

const MAX_HISTORY = 100_000;
const MAX_TTL_SECONDS = 31_536_000;

const NEXT = z.string().nullable().describe('Pass as "after" for the next page; null at the end.');

const ROOM = z.strictObject({ room: z.string(), channels: COUNT, members: COUNT, hardcoded: z.boolean() });

/** What an admin can set for one channel. */
const SETTINGS = {
  description: z.string().max(1_024).describe('The purpose of the channel.').exactOptional(),
  type: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be 1-64 letters, digits, ".", "_" or "-"')
    .describe('A custom word for its kind.')
    .exactOptional(),
  history: z
    .strictObject({
      size: z.number().int().min(0).max(MAX_HISTORY).exactOptional(),
      ttl_seconds: z.number().int().min(1).max(MAX_TTL_SECONDS).exactOptional(),
    })
    .describe('How many envelopes it keeps, and for how long. Takes precedence over every rule.')
    .exactOptional(),
  retain: z.boolean().describe('Keep it while it is idle, also if it was created automatically.').exactOptional(),
};

interface GivenSettings {
  readonly description?: string;
  readonly type?: string;
  readonly history?: { readonly size?: number; readonly ttl_seconds?: number };
  readonly retain?: boolean;
}

function traitsOf({ description, type, history, retain }: GivenSettings): Partial<ChannelTraits> {
  const { size, ttl_seconds } = history ?? {};
  return {
    ...(description === undefined ? {} : { description }),
    ...(type === undefined ? {} : { type }),
    ...(retain === undefined ? {} : { retain }),
    retention: {
      ...(size === undefined ? {} : { size }),
      ...(ttl_seconds === undefined ? {} : { ttlMs: ttl_seconds * 1000 }),
    },
  };
}

/** list_rooms, list_channels, channel_info, create_channel, update_channel, delete_channel. */
export function channelCommands(bus: Core): AnyCommand[] {
  return [
    command({
      name: 'list_rooms',
      role: 'guest',
      description: 'Lists the rooms with the numbers of their channels and members.',
      args: z.strictObject(PAGE),
      result: z.strictObject({ rooms: z.array(ROOM), next: NEXT }),
      run: async ({ sender }, args): Promise<CommandResult<'list_rooms'>> => {
        const { items, next } = await bus.directory.roomList(sender.principal, pageOf(args));
        return { rooms: items, next };
      },
    }),
    command({
      name: 'list_channels',
      role: 'guest',
      place: 'current',
      description: 'Lists the channels of a room that your grants let you read.',
      args: z.strictObject({ room: PLACE.room, ...PAGE }),
      result: z.strictObject({ channels: z.array(CHANNEL_SUMMARY), next: NEXT }),
      run: async ({ sender }, args): Promise<CommandResult<'list_channels'>> => {
        const { principal } = sender;
        const { room } = parseAddress(args.room, undefined);
        if (room === undefined || !isRoomName(room)) {
          throw new BusError('VALIDATION_ERROR', 'Name the room.', { field: 'room', expected: 'name' });
        }
        const { items, next } = await bus.directory.channels(principal, room, pageOf(args));
        const channels = await bus.directory.withUsage(principal.tenant, items);
        if (channels.length > 0 || args.after !== undefined) return { channels, next };
        // The same answer whether or not the room exists.
        bus.access.require(principal, 'subscribe', room, '*');
        if (bus.rooms.tenant(principal.tenant).rooms.has(room)) return { channels, next };
        throw new BusError('NOT_FOUND', `The room ${room} does not exist.`, { room });
      },
    }),
    command({
      name: 'channel_info',
      role: 'guest',
      place: 'current',
      description: 'Describes a channel, its members and the position of its stream.',
      args: z.strictObject(PLACE),
      result: CHANNEL_INFO,
      run: async ({ sender }, args): Promise<CommandResult<'channel_info'>> => {
        const channel = await readableAnywhere(bus, sender.principal, args);
        const [members, { sequence, epoch }, usage] = await Promise.all([
          bus.directory.members(channel),
          bus.engine.broker.state(channel),
          bus.directory.usage([channel]),
        ]);
        const [{ events, bytes } = { events: 0, bytes: 0 }] = usage ?? [];
        const kept = usage === null ? {} : { events, bytes };
        const policy = bus.rooms.policy(channel);
        const typed = policy.schema === null ? {} : { schema: policy.schema.rule.schema as JsonObject };
        return { ...channel.record(policy), ...members, sequence, epoch, ...kept, ...typed };
      },
    }),
    command({
      name: 'create_channel',
      role: 'admin',
      description: 'Creates a channel that stays until it is deleted, or takes over an automatically created one.',
      args: z.strictObject({ ...PLACE, ...SETTINGS }),
      result: CHANNEL_RECORD,
      run: ({ sender }, args): Awaitable<ChannelRecord> => {
        const { room, channel: name } = channelOf(args);
        bus.access.require(sender.principal, 'admin', room, name);
        const traits = { description: null, retain: true, ...traitsOf(args) };
        const made = bus.catalog.create(sender.principal.tenant, room, name, sender.id, traits);
        return andThen(made, (channel) => {
          bus.retention.apply(channel);
          return channel.record(bus.rooms.policy(channel));
        });
      },
    }),
    command({
      name: 'update_channel',
      role: 'admin',
      description: 'Changes the given fields of an explicitly created channel.',
      args: z.strictObject({ ...PLACE, ...SETTINGS }),
      result: CHANNEL_RECORD,
      run: async ({ sender }, args): Promise<ChannelRecord> => {
        const known = readable(bus, sender.principal, args);
        const { room, channel: name } = known;
        bus.access.require(sender.principal, 'admin', room, name);
        if (known.traits.hardcoded) {
          throw new BusError('PROTECTED_CHANNEL', `${room}:${name} is built in; a rule can change what it keeps.`, {
            room,
            channel: name,
          });
        }
        const channel = await bus.catalog.update(known, traitsOf(args));
        await bus.retention.apply(channel);
        return channel.record(bus.rooms.policy(channel));
      },
    }),
    command({
      name: 'delete_channel',
      role: 'admin',
      place: 'current',
      description: 'Deletes an empty channel and its history.',
      args: z.strictObject(PLACE),
      result: z.strictObject({ deleted: z.literal(true), room: z.string(), channel: z.string() }),
      run: async ({ sender }, args): Promise<CommandResult<'delete_channel'>> => {
        const { room, channel: name } = channelOf(args);
        bus.access.require(sender.principal, 'admin', room, name);
        await wake(bus, sender.principal.tenant, room, name);
        const channel = readable(bus, sender.principal, args);
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

/** The same for a channel that this node may not know: it may have members on another node. */
async function readableAnywhere(
  bus: Core,
  principal: Principal,
  args: { room?: string; channel?: string },
): Promise<Channel> {
  const { room, channel: name } = channelOf(args);
  bus.access.require(principal, 'subscribe', room, name);
  const tenant = bus.rooms.tenant(principal.tenant);
  const unmet = bus.rooms.visit(tenant.rooms.get(room) ?? new Room(tenant, room, tenant.everything), name);
  const isUnmet = tenant.find(room, name) === undefined;
  return isUnmet && (await bus.directory.memberCount(unmet)) > 0 ? unmet : readable(bus, principal, args);
}

/** Adds an idle channel back to the lists. */
async function wake(bus: Core, tenantName: string, room: string, channel: string): Promise<void> {
  const tenant = bus.rooms.tenant(tenantName);
  const isListed = (): boolean => tenant.find(room, channel) !== undefined;
  if (isListed() || (await bus.engine.broker.find({ tenant: tenantName, room, channel })) === null) return;
  if (!isListed()) bus.rooms.create(tenant, room, channel, { traits: AUTOMATIC });
}

/**
 * A channel that the caller may read. AUTHORIZATION_ERROR takes precedence over NOT_FOUND: callers without access do
 * not learn whether a channel exists.
 */
function readable(bus: Core, principal: Principal, args: { room?: string; channel?: string }): Channel {
  const { room, channel: name } = channelOf(args);
  bus.access.require(principal, 'subscribe', room, name);
  const channel = bus.rooms.tenant(principal.tenant).find(room, name);
  if (channel !== undefined) return channel;
  throw new BusError('NOT_FOUND', `The channel ${room}:${name} does not exist.`, { room, channel: name });
}
