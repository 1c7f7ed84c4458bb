import { z } from 'zod';
import { writeCursor } from '../cursor.ts';
import { fit, NOTE, senderOf } from '../message.ts';
import { invalid, readChannel } from '../place.ts';
import { type Call, OBJECT, type Tool, tool } from '../tool.ts';

/** Page size of lists for a model. */
const PAGE = 100;
/** Prefix of connection ids. */
const CONNECTION = 'arq_client_';

/** who_am_i, channels, who, join, explain: information about clients and channels. */
export const LOOK: readonly Tool[] = [
  tool('who_am_i', 'Your name and role.', z.strictObject({}), async ({ agent }) => {
    const { subject, name, role } = await agent.identity();
    const { tenant, features } = agent.client.welcome ?? {};
    return {
      ...(subject === undefined ? {} : { subject: `@${subject}`, mailbox: 'inbox' }),
      ...(name === undefined ? {} : { name }),
      role,
      tenant,
      features,
    };
  }),
  tool(
    'channels',
    'Rooms, or the channels of one.',
    z.strictObject({ room: z.string().optional(), after: z.string().optional() }),
    async ({ agent: { client }, signal }, { room, after }) => {
      const page = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      if (room === undefined) {
        const { rooms, next } = await client.command('list_rooms', page, { signal });
        return { rooms: rooms.map((one) => ({ room: one.room, channels: one.channels })), next };
      }
      const { channels, next } = await client.command('list_channels', { room, ...page }, { signal });
      return {
        channels: channels.map((one) => ({ channel: `${one.room}:${one.channel}`, members: one.members })),
        next,
      };
    },
    { fields: { channel: 'room' } },
  ),
  tool(
    'who',
    'Who is in a channel, or has a name, skill or state.',
    z.strictObject({
      channel: z.string().optional(),
      name: z.string().optional(),
      skill: z.string().optional(),
      state: z.string().optional(),
    }),
    async (call, { channel, ...wanted }) => {
      if (channel === undefined) return find(call, wanted);
      if (Object.keys(wanted).length > 0)
        throw invalid('Ask for a channel, or for name, skill and state; not for both.');
      return members(call, channel);
    },
  ),
  tool(
    'join',
    'Be seen in a channel; gives its cursor and schema.',
    z.strictObject({ channel: z.string() }),
    async (call, { channel }) => {
      const { client } = call.agent;
      // It outlasts this call, so the call's signal must not end it.
      const joined = await client.join(channelOf(channel));
      const { sequence, epoch, members } = joined;
      const schema = await call.agent.schemaOf(channel, { signal: call.signal });
      return { cursor: writeCursor({ sequence, epoch }), members, ...(schema === undefined ? {} : { schema }) };
    },
    { fields: { room: 'channel' } },
  ),
  tool(
    'explain',
    'What would come of publishing; for admins.',
    z.strictObject({ channel: z.string(), data: OBJECT.optional() }),
    async ({ agent, signal }, { channel, data }) => {
      const { room, channel: name } = readChannel(channel);
      const args = { room, channel: name, ...(data === undefined ? {} : { payload: data }) };
      const { receivers, ...told } = await agent.client.command('op.rules.explain', args as never, { signal });
      const { names } = receivers as { names?: readonly string[] };
      return { ...told, receivers: { ...receivers, ...(names === undefined ? {} : { names: subjectsOf(names) }) } };
    },
    { fields: { room: 'channel', payload: 'data' } },
  ),
];

async function members({ agent, signal }: Call, channel: string): Promise<object> {
  const { members: all, count } = await agent.client.channelInfo(channelOf(channel), { signal });
  const clients = all.slice(0, PAGE).map(({ sender, joined_at }) => ({
    ...senderOf({ metadata: { sender } }),
    type: sender.type,
    since: joined_at,
  }));
  return { clients, count };
}

async function find(
  { agent, signal }: Call,
  wanted: { name?: string | undefined; skill?: string | undefined; state?: string | undefined },
): Promise<object> {
  const { name, skill, state } = wanted;
  const filter = {
    ...(name === undefined ? {} : { name }),
    ...(skill === undefined ? {} : { skill }),
    ...(state === undefined ? {} : { state }),
  };
  const { clients, next } = await agent.client.command('list_clients', { ...filter, limit: PAGE }, { signal });
  const shown = clients.map(({ sender, card, state: at, note }) => ({
    ...senderOf({ metadata: { sender } }),
    type: sender.type,
    ...(at === undefined ? {} : { state: at }),
    ...(note === undefined ? {} : { note }),
    ...(card === undefined ? {} : { card }),
  }));
  const fitting = fit(shown);
  const isMore = next !== null || fitting.length < shown.length;
  return { note: NOTE, clients: fitting, ...(isMore ? { more: true } : {}) };
}

/** The subjects among the receivers; those without one are counted but not named. */
function subjectsOf(names: readonly string[]): string[] {
  return names.filter((name) => !name.startsWith(CONNECTION)).map((name) => `@${name}`);
}

function channelOf(text: string): string {
  const { room, channel } = readChannel(text);
  return `${room}:${channel}`;
}
