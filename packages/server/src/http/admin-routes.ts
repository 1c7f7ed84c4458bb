import type { Bus, CommandRunner } from '@arqonbus/bus';
import { BusError, CLOSE, MAIL_ROOM, mailboxSubject, newId } from '@arqonbus/protocol';
import { z } from 'zod';
import { USAGE } from './directory-routes.ts';
import { HttpRefusal, Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

/** The result of a configuration reload. Settings are given by path, never by value. */
export interface Reloaded {
  /** Changed settings that are in force. */
  readonly changed: readonly string[];
  /** Changed settings that take effect when the listeners are reopened; empty: they are not reopened. */
  readonly reopening: readonly string[];
  /** Changed settings that need a new process. */
  readonly needs_new_process: readonly string[];
}

/** Reloads the configuration; `goOn` continues once the result has been sent. Rejects with the errors in it. */
export type OnRestart = () => Promise<{ readonly reloaded: Reloaded; readonly goOn: () => void }>;

export interface AdminParts {
  readonly bus: Bus;
  readonly runner: CommandRunner;
  /** Stops the server, or reloads its configuration; null: not available on this server. */
  readonly onShutdown: (() => void) | null;
  readonly onRestart: OnRestart | null;
}

const TEXT = z.string();
/** Page size for mailboxes: the pending mail of each has to be looked up. */
const MAX_MAILBOXES = 100;
const REASON = 'disconnected by an administrator';

/** Rooms, clients, and server administration. */
export function adminRoutes(parts: AdminParts): AnyRoute[] {
  const { bus, runner } = parts;
  return [
    route({
      method: 'get',
      path: '/v1/rooms',
      tag: 'administration',
      summary: 'The rooms with the numbers of their channels and members, as in the command `list_rooms`.',
      access: 'admin',
      answer: z.object({
        rooms: z.array(z.object({ room: TEXT, channels: z.number(), members: z.number(), hardcoded: z.boolean() })),
      }),
      run: ({ caller: { sender } }) => runner.run({ sender, requestId: newId(), name: 'list_rooms', args: {} }),
    }),
    route({
      method: 'get',
      path: '/v1/rooms/{room}/channels',
      tag: 'administration',
      summary: 'The channels of a room, as in the command `list_channels`.',
      access: 'admin',
      params: z.object({ room: TEXT }),
      answer: z.object({
        channels: z.array(
          z.object({
            room: TEXT,
            channel: TEXT,
            members: z.number(),
            created_at: TEXT,
            type: TEXT,
            hardcoded: z.boolean(),
            ...USAGE,
          }),
        ),
      }),
      run: ({ caller: { sender }, params: { room } }) =>
        runner.run({ sender, requestId: newId(), name: 'list_channels', args: { room } }),
    }),
    route({
      method: 'post',
      path: '/v1/clients/{id}/disconnect',
      tag: 'administration',
      summary: 'Closes a client’s connection with 4403, on any node.',
      access: 'admin',
      params: z.object({ id: TEXT }),
      answer: z.object({ disconnected: z.literal(true), client_id: TEXT, node: TEXT }),
      run: async ({ caller, params: { id } }) => {
        bus.access.requireTenant(caller.principal);
        const node = await disconnect(bus, caller.principal.tenant, id);
        return { disconnected: true, client_id: id, node };
      },
    }),
    route({
      method: 'get',
      path: '/v1/clients/{id}/line',
      tag: 'administration',
      summary: 'The traffic of a client’s connection, on any node: its address, counts and backlog.',
      access: 'admin',
      params: z.object({ id: TEXT }),
      answer: z.object({
        client_id: TEXT,
        node: TEXT,
        address: TEXT.describe('Where it comes from.'),
        received: z.number().describe('Envelopes that it sent.'),
        sent: z.number().describe('Envelopes that it was sent.'),
        sent_bytes: z.number(),
        backlog_bytes: z.number().describe('Bytes that wait to be sent.'),
      }),
      run: async ({ caller, params: { id } }) => {
        const line = await bus.lines.of(caller.principal.tenant, id);
        if (line === null) throw unknownClient(id);
        return line;
      },
    }),
    route({
      method: 'get',
      path: '/v1/mailboxes',
      tag: 'administration',
      summary: 'The mailboxes that contain mail, with the amount that waits.',
      access: 'admin',
      query: z.strictObject({
        limit: z.coerce.number().int().min(1).max(MAX_MAILBOXES).default(MAX_MAILBOXES),
        after: TEXT.optional().describe('`next` of the answer before.'),
      }),
      answer: z.object({
        mailboxes: z.array(
          z.object({
            subject: TEXT.describe('Whose mailbox it is.'),
            channel: TEXT.describe('Of the room `@`.'),
            pending: z.number(),
            bytes: z.number().describe('UTF-8 bytes of what waits.'),
            oldest_ms: z.number().describe('Age of the oldest that waits; 0 when none does.'),
          }),
        ),
        next: TEXT.nullable(),
      }),
      run: async ({ caller: { principal }, query }) => {
        const mayRead = (channel: string): boolean => bus.access.may(principal, 'group', MAIL_ROOM, channel);
        const { items, next } = await bus.mail.list(principal.tenant, mayRead, query);
        return { mailboxes: items.map((one) => ({ subject: mailboxSubject(one.channel), ...one })), next };
      },
    }),
    route({
      method: 'post',
      path: '/admin/shutdown',
      tag: 'administration',
      summary: 'Stops the server gracefully. The answer is sent first.',
      access: 'operator',
      status: 202,
      answer: z.object({ status: TEXT }),
      run: () => new Reply(202, { status: 'shutting_down' }, {}, offered(parts.onShutdown)),
    }),
    route({
      method: 'post',
      path: '/admin/restart',
      tag: 'administration',
      summary: 'Reloads the configuration and returns what changed. Reopens the listeners afterwards if necessary.',
      access: 'operator',
      status: 202,
      answer: z.object({
        status: z.enum(['reloaded', 'restarting']),
        changed: z.array(TEXT),
        reopening: z.array(TEXT),
        needs_new_process: z.array(TEXT),
      }),
      run: async () => {
        const { reloaded, goOn } = await offered(parts.onRestart)();
        const status = reloaded.reopening.length > 0 ? 'restarting' : 'reloaded';
        return new Reply(202, { status, ...reloaded }, {}, goOn);
      },
    }),
  ];
}

/** Closes a client on any node; returns its node. */
async function disconnect(bus: Bus, tenant: string, id: string): Promise<string> {
  const session = bus.rooms.tenant(tenant).sessions.get(id);
  if (session !== undefined) {
    bus.closeSession(session, CLOSE.DISCONNECTED_BY_ADMIN, REASON);
    return bus.options.node;
  }
  const { presence } = bus.engine;
  // Only a client id, not all connections of a subject.
  const [found] = presence === null || id.includes(':') ? [] : await presence.find(tenant, id);
  if (found === undefined) {
    throw unknownClient(id);
  }
  await presence?.send(found.node, { kind: 'disconnect', tenant, clients: [id], text: REASON });
  return found.node;
}

function unknownClient(id: string): BusError {
  return new BusError('NOT_FOUND', 'No client of this id is connected.', { client_id: id.slice(0, 140) });
}

function offered<T>(act: T | null): T {
  if (act !== null) return act;
  throw new HttpRefusal(501, 'FEATURE_DISABLED', 'This server cannot be told to do so over HTTP.');
}
