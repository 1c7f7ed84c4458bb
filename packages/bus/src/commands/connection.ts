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
import type { Bus } from '../bus.ts';
import { hasRole } from '../principal.ts';
import { type AnyCommand, type CommandContext, command } from './command.ts';

const TEXT = z.string().min(1).max(256);

/** ping, help, identify, status: about the connection and the server. */
export function connectionCommands(bus: Bus, listAll: () => readonly AnyCommand[]): AnyCommand[] {
  return [
    command({
      name: 'ping',
      role: 'guest',
      description: 'Answers at once, with what was sent as "echo".',
      args: z.strictObject({ echo: z.unknown().describe('Any JSON; comes back as sent.').exactOptional() }),
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
      run: (_context, { command: name }): CommandResult<'help'> => {
        const wanted = listAll().filter((one) => name === undefined || isCalled(one, name));
        if (wanted.length === 0) {
          throw new BusError('COMMAND_NOT_FOUND', 'There is no such command; "help" without one lists them.', {
            command: name,
          });
        }
        return { commands: wanted.map(describe) };
      },
    }),
    command({
      name: 'identify',
      role: 'user',
      description: 'Changes how this client is known to others.',
      inspectedAs: 'profile',
      args: z.strictObject({
        client_type: z.enum(CLIENT_TYPES).describe('What kind of client this is.').exactOptional(),
        screen_name: TEXT.describe('Name shown to others.').exactOptional(),
        avatar: z.string().max(2_048).describe('URL or text of a picture.').exactOptional(),
        personality: z.string().max(2_048).describe('How an agent describes itself.').exactOptional(),
      }),
      run: (context, args): ClientRecord => {
        const session = connectionOf(context);
        const { profile } = session;
        profile.clientType = args.client_type ?? profile.clientType;
        profile.screenName = args.screen_name ?? profile.screenName;
        profile.avatar = args.avatar ?? profile.avatar;
        profile.personality = args.personality ?? profile.personality;
        bus.cluster.announce(session);
        return session.record(bus.options.node);
      },
    }),
    command({
      name: 'status',
      role: 'guest',
      description: 'Figures of the server; for admins also every channel and client of the tenant.',
      args: z.strictObject({}),
      run: async ({ sender }): Promise<ServerStatus> => {
        const status = await bus.directory.clusterStatus(sender.principal);
        if (!hasRole(sender.principal, 'admin')) return status;
        const { tenant } = sender.principal;
        const [channels_detail, clients] = await Promise.all([
          bus.directory.channels(tenant),
          bus.directory.clients(tenant),
        ]);
        return { ...status, channels_detail, clients };
      },
    }),
  ];
}

/** The connection behind a command that only makes sense on one; over HTTP there is none. */
export function connectionOf({ sender }: CommandContext): NonNullable<CommandContext['sender']['session']> {
  if (sender.session !== null) return sender.session;
  throw new BusError('VALIDATION_ERROR', 'This command belongs to a WebSocket connection; send it over one.', {
    field: 'command',
  });
}

export function describe(one: AnyCommand): CommandDescription {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(one.args, {
    io: 'input',
    override: tellSecret,
  }) as JsonObject;
  const { name, description, role } = one;
  return { name, aliases: [...(one.aliases ?? [])], description, role, args: schema };
}

/** JSON Schema has a word of its own for what is given and never shown. */
function tellSecret({ jsonSchema }: { jsonSchema: JsonObject }): void {
  if (jsonSchema.secret !== true) return;
  delete jsonSchema.secret;
  jsonSchema.writeOnly = true;
}

function isCalled(one: AnyCommand, name: string): boolean {
  return one.name === name || one.aliases?.includes(name) === true;
}
