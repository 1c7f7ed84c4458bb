import {
  BusError,
  CLIENT_TYPES,
  type ClientRecord,
  type CommandDescription,
  type CommandResult,
  type JsonObject,
  type ServerStatus,
  timestamp,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { Core } from '../core.ts';
import { MAX_PAGE } from '../directory.ts';
import { hasRole } from '../principal.ts';
import { CARD } from '../schemas/card.ts';
import { STAMP } from '../schemas/fields.ts';
import { tellSecret } from '../schemas/json-schema.ts';
import { limitUpTo, PAGE } from './arguments.ts';
import { type AnyCommand, type CommandContext, command } from './command.ts';
import { CLIENT_RECORD, COMMAND_DESCRIPTION, SERVER_STATUS } from './records.ts';

const TEXT = z.string().min(1).max(256);
/** The most clients, with their cards, in one answer, so that it stays below 1 MiB. */
const MAX_FOUND = 100;

/** ping, help, identify, status: about the connection and the server. */
export function connectionCommands(bus: Core, listAll: () => readonly AnyCommand[]): AnyCommand[] {
  return [
    command({
      name: 'ping',
      role: 'guest',
      description: 'Answers at once, and returns "echo".',
      args: z.strictObject({ echo: z.unknown().describe('Any JSON; returned unchanged.').exactOptional() }),
      result: z.strictObject({ pong: z.literal(true), echo: z.unknown().exactOptional(), timestamp: STAMP }),
      run: (_context, { echo }): CommandResult<'ping'> => ({
        pong: true,
        ...(echo === undefined ? {} : { echo }),
        timestamp: timestamp(),
      }),
    }),
    command({
      name: 'help',
      role: 'guest',
      description: 'Lists the commands with their roles and arguments, or describes one.',
      args: z.strictObject({ command: TEXT.describe('Name of one command.').exactOptional() }),
      result: z.strictObject({ commands: z.array(COMMAND_DESCRIPTION) }),
      run: (_context, { command: name }): CommandResult<'help'> => {
        const wanted = listAll().filter((one) => name === undefined || isCalled(one, name));
        if (wanted.length === 0) {
          throw new BusError('COMMAND_NOT_FOUND', 'There is no such command; "help" without one lists them.', {
            command: name,
          });
        }
        return { commands: name === undefined ? wanted.map(described) : wanted.map(describeWhole) };
      },
    }),
    command({
      name: 'identify',
      role: 'user',
      description: 'Changes how other clients see this client.',
      inspectedAs: 'profile',
      args: z.strictObject({
        client_type: z.enum(CLIENT_TYPES).describe('The type of client.').exactOptional(),
        screen_name: TEXT.describe('Name shown to others.').exactOptional(),
        avatar: z.string().max(2_048).describe('URL or text of a picture.').exactOptional(),
        personality: z.string().max(2_048).describe('How an agent describes itself.').exactOptional(),
        card: CARD.nullable().describe('The description of an agent, at most 8,192 bytes; null: none.').exactOptional(),
        state: z
          .string()
          .min(1)
          .max(64)
          .nullable()
          .describe('`idle`, `busy`, or a custom word; null: none.')
          .exactOptional(),
        note: z
          .string()
          .min(1)
          .max(280)
          .nullable()
          .describe('A note, such as the current task; null: none.')
          .exactOptional(),
        ttl_seconds: z
          .number()
          .min(1)
          .max(86_400)
          .describe('How long the state is valid unless it is renewed; then it is `lapsed`.')
          .exactOptional(),
      }),
      result: CLIENT_RECORD,
      run: (context, args): ClientRecord => {
        const session = connectionOf(context);
        const { client_type, screen_name, avatar, personality, card, state, note, ttl_seconds } = args;
        const { name } = session.principal;
        if (screen_name !== undefined && typeof name === 'string' && screen_name !== name) {
          throw new BusError('AUTHORIZATION_ERROR', 'Your token fixes your name; leave "screen_name" out.', {
            field: 'screen_name',
            expected: name,
          });
        }
        bus.standings.change(session, {
          ...(card === undefined ? {} : { card }),
          ...(state === undefined ? {} : { state }),
          ...(note === undefined ? {} : { note }),
          ...(ttl_seconds === undefined ? {} : { ttlSeconds: ttl_seconds }),
        });
        session.identify({
          ...(client_type === undefined ? {} : { clientType: client_type }),
          ...(screen_name === undefined ? {} : { screenName: screen_name }),
          ...(avatar === undefined ? {} : { avatar }),
          ...(personality === undefined ? {} : { personality }),
        });
        bus.memberships.renamed(session);
        return session.record(bus.options.node);
      },
    }),
    command({
      name: 'list_clients',
      role: 'user',
      description:
        'Finds clients by name, skill or state, on all nodes, among those that share a channel or room with you.',
      args: z.strictObject({
        name: TEXT.describe('Its subject or screen name, ignoring case.').exactOptional(),
        skill: TEXT.describe('Id, name or tag of a skill of its card, ignoring case.').exactOptional(),
        state: z.string().min(1).max(64).exactOptional(),
        limit: limitUpTo(MAX_FOUND),
        after: PAGE.after,
      }),
      result: z.strictObject({
        clients: z.array(CLIENT_RECORD).describe('With their cards.'),
        next: z.string().nullable().describe('Pass as "after" for the next page; null at the end.'),
      }),
      run: async ({ sender }, args): Promise<CommandResult<'list_clients'>> => {
        const { limit = MAX_FOUND, after, ...wanted } = args;
        const { items, next } = await bus.directory.find(sender.principal, wanted, { limit, after });
        return { clients: items, next };
      },
    }),
    command({
      name: 'status',
      role: 'guest',
      description: 'Returns figures of the server; for admins also the first 500 channels and clients of the tenant.',
      args: z.strictObject({}),
      result: SERVER_STATUS,
      run: async ({ sender }): Promise<ServerStatus> => {
        const status = await bus.directory.clusterStatus(sender.principal);
        if (!hasRole(sender.principal, 'admin')) return status;
        const [channels_detail, { items: clients }] = await Promise.all([
          bus.directory.allChannels(sender.principal),
          bus.directory.clients(sender.principal, { limit: MAX_PAGE, after: undefined }),
        ]);
        return { ...status, channels_detail, clients };
      },
    }),
  ];
}

/** The connection of a command that needs one; over HTTP there is none. */
export function connectionOf({ sender }: CommandContext): NonNullable<CommandContext['sender']['session']> {
  if (sender.session !== null) return sender.session;
  throw new BusError('VALIDATION_ERROR', 'This command belongs to a WebSocket connection; send it over one.', {
    field: 'command',
  });
}

const descriptions = new WeakMap<AnyCommand, CommandDescription>();

/** {@link describe}, cached per command, since clients may call it as often as they like. */
function described(one: AnyCommand): CommandDescription {
  let known = descriptions.get(one);
  if (known === undefined) {
    known = describe(one);
    descriptions.set(one, known);
  }
  return known;
}

function describe(one: AnyCommand): CommandDescription {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(one.args, {
    io: 'input',
    override: tellSecret,
  }) as JsonObject;
  const { name, description, role } = one;
  return { name, aliases: [...(one.aliases ?? [])], description, role, args: schema };
}

/** Includes the answer's schema, which would make a list of all commands several times as long. */
function describeWhole(one: AnyCommand): CommandDescription {
  const { $schema: _dialect, ...result } = z.toJSONSchema(one.result, { io: 'input' }) as JsonObject;
  return { ...describe(one), result };
}

function isCalled(one: AnyCommand, name: string): boolean {
  return one.name === name || one.aliases?.includes(name) === true;
}
