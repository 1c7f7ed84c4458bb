import type { Bus, Page, Principal } from '@arqonbus/bus';
import { BusError, type ChannelSummary, compileGlobs, parseAddress } from '@arqonbus/protocol';
import { type ZodNumber, type ZodOptional, z } from 'zod';
import { type AnyRoute, route } from './route.ts';

const TEXT = z.string();
const NAME = TEXT.min(1).max(260);

/** Paging: at most 500 entries, after the `next` of the previous page. */
const PAGE = {
  limit: z.coerce.number().int().min(1).max(500).default(500),
  after: TEXT.optional().describe('`next` of the answer before.'),
};

const CLIENT = z.looseObject({ client_id: TEXT, client_type: TEXT, screen_name: TEXT.nullable(), node: TEXT });

/** What a channel's stream retains. */
export const USAGE: Readonly<Record<'sequence' | 'events' | 'bytes', ZodOptional<ZodNumber>>> = {
  sequence: z
    .number()
    .optional()
    .describe('The last that was given; left out, as the others, while the storage is away.'),
  events: z.number().optional().describe('Events that are kept.'),
  bytes: z.number().optional().describe('UTF-8 bytes of the kept events, as `history.bytes` of a rule counts them.'),
};

/** A member as in the result of a join with `presence`. */
const MEMBER = z.looseObject({
  client_id: TEXT,
  sender: z.looseObject({}),
  state: z.unknown(),
  joined_at: TEXT,
  channel: TEXT.optional(),
});

/** Maximum channels and rooms scanned for one page; the rest follows on later pages. */
const MAX_LOOKED_AT = 5_000;

/** Channels, members and clients, limited by the caller's grants. */
export function directoryRoutes(bus: Bus): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/v1/channels',
      tag: 'directory',
      summary:
        'The channels of all rooms that the caller may read, by room and name, with the numbers of members, events and bytes.',
      access: 'user',
      query: z.strictObject({
        ...PAGE,
        match: NAME.optional().describe(
          'Only these: room:channel, or a channel of any room, in which `*` stands for any run of characters.',
        ),
      }),
      answer: z.object({
        channels: z.array(z.looseObject({ room: TEXT, channel: TEXT, members: z.number(), ...USAGE })),
        count: z.number(),
        next: TEXT.nullable().describe('Pass as `after` for more; null at the end.'),
      }),
      run: async ({ caller, query }) => {
        const { channels, next } = await listChannels(bus, caller.principal, query.match, query);
        const measured = await bus.directory.withUsage(caller.principal.tenant, channels);
        return { channels: measured, count: channels.length, next };
      },
    }),
    route({
      method: 'get',
      path: '/v1/presence',
      tag: 'directory',
      summary: 'The members of a channel or room, on all nodes, with the state that each publishes.',
      access: 'user',
      query: z.strictObject({
        room: NAME.describe('Room name, or room:channel.'),
        channel: NAME.optional().describe('Channel name; without one everybody in any channel of the room.'),
      }),
      answer: z.object({
        room: TEXT,
        channel: TEXT,
        version: z.number(),
        members: z.array(MEMBER),
        count: z.number(),
        counts_only: z.literal(true).optional().describe('There are too many to be told by name.'),
      }),
      run: async ({ caller: { principal }, query }) => {
        const { room, channel = '*' } = parseAddress(query.room, query.channel);
        if (room === undefined) throw new BusError('VALIDATION_ERROR', 'Name the room.', { field: 'room' });
        bus.access.require(principal, 'presence', room, channel);
        const found = bus.rooms.tenant(principal.tenant).find(room, channel);
        if (found === undefined) {
          throw new BusError('NOT_FOUND', `The channel ${room}:${channel} does not exist.`, { room, channel });
        }
        return { room, channel, ...(await bus.rosters.watch(found)) };
      },
    }),
    route({
      method: 'get',
      path: '/v1/clients',
      tag: 'directory',
      summary: 'The connected clients, of all nodes, with the memberships that the caller may read.',
      access: 'user',
      query: z.strictObject({ ...PAGE, subject: NAME.optional().describe('Only the connections of this subject.') }),
      answer: z.object({ clients: z.array(CLIENT), count: z.number(), next: TEXT.nullable() }),
      run: async ({ caller: { principal }, query: { subject, ...page } }) => {
        const { directory } = bus;
        const { items: clients, next } =
          subject === undefined
            ? await directory.clients(principal, pageOf(page))
            : await directory.clientsOf(principal, subject, pageOf(page));
        return { clients, count: clients.length, next };
      },
    }),
  ];
}

function pageOf({ limit, after }: { readonly limit: number; readonly after?: string | undefined }): Page {
  return { limit, after };
}

/** One page of the channels of all rooms; `after` and `next` are `room:channel`. */
async function listChannels(
  bus: Bus,
  principal: Principal,
  match: string | undefined,
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
): Promise<{ channels: ChannelSummary[]; next: string | null }> {
  const matches = match === undefined ? () => true : compileGlobs([match.includes(':') ? match : `*:${match}`]);
  const { names } = bus.rooms.tenant(principal.tenant);
  const from = after === undefined ? {} : parseAddress(after, undefined);
  const channels: ChannelSummary[] = [];
  let room = from.room;
  let channel = from.channel;
  let seen = 0;
  // First the cursor's room, after its channel; then the following rooms.
  if (room === undefined || channel === undefined) [room, channel] = [names.range('', room, 1)[0], undefined];
  while (room !== undefined) {
    const { items, next }: { items: ChannelSummary[]; next: string | null } = await bus.directory.channels(
      principal,
      room,
      { limit: 500, after: channel },
    );
    for (const one of items) {
      seen += 1;
      if (matches(`${one.room}:${one.channel}`)) channels.push(one);
      if (channels.length === limit || seen === MAX_LOOKED_AT) return { channels, next: `${room}:${one.channel}` };
    }
    channel = next ?? undefined;
    if (next !== null) continue;
    room = names.range('', room, 1)[0];
    seen += 1;
    if (room !== undefined && seen >= MAX_LOOKED_AT) return { channels, next: room };
  }
  return { channels, next: null };
}
