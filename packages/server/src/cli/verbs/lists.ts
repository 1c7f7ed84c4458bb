import type { ClientRecord } from '@arqonbus/protocol';
import { Command } from 'commander';
import { ask, askAndPrint } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printResult } from '../terminal/output.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon rooms`. */
export function roomsVerb(): Command {
  const verb = withAnswerOptions(new Command('rooms').description('List the rooms.'));
  withExamples(verb, 'arqon rooms', 'arqon rooms --json | jq -r .rooms[].room');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'list_rooms', {}, ({ rooms }) =>
      table(
        ['ROOM', 'CHANNELS', 'MEMBERS', 'KIND'],
        rooms.map(({ room, channels, members, hardcoded }) => [room, channels, members, hardcoded ? 'built-in' : '']),
      ),
    ),
  );
}

/** `arqon channels`. */
export function channelsVerb(): Command {
  const verb = new Command('channels').description('List the channels of a room.').argument('<room>', 'name of a room');
  withExamples(withAnswerOptions(verb), 'arqon channels science');
  return verb.action((room: string, options: BusOptions) =>
    askAndPrint(options, 'list_channels', { room }, ({ channels }) =>
      table(
        ['CHANNEL', 'MEMBERS', 'EVENTS', 'BYTES', 'TYPE', 'CREATED'],
        channels.map((one) => [one.channel, one.members, one.events, one.bytes, one.type, one.created_at]),
      ),
    ),
  );
}

/** `arqon clients`. */
export function clientsVerb(): Command {
  const verb = withAnswerOptions(new Command('clients').description('List the connected clients; for admins.'));
  withExamples(verb, 'arqon clients', 'arqon clients --json | jq ".clients | length"');
  return verb.action(async (options: BusOptions) => {
    const { clients } = await ask(options, 'status', {});
    if (clients === undefined) throw new Error("only admins see who is connected; pass an admin's token with --jwt.");
    await printResult(options.json, { clients }, () =>
      table(['CLIENT', 'TYPE', 'NAME', 'CHANNELS', 'CONNECTED', 'NODE'], clients.map(clientRow)),
    );
  });
}

function clientRow({
  client_id,
  client_type,
  screen_name,
  rooms,
  connected_at,
  node,
}: ClientRecord): (string | null)[] {
  const joined = Object.entries(rooms).flatMap(([room, channels]) => channels.map((channel) => `${room}:${channel}`));
  return [client_id, client_type, screen_name, joined.join(' '), connected_at, node];
}
