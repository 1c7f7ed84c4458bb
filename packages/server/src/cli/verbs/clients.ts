import type { ClientRecord } from '@arqonbus/protocol';
import { Command } from 'commander';
import { ask, type BusOptions, withAnswerOptions } from '../remote/bus.ts';
import { printResult } from '../terminal/output.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon clients`. */
export function clientsVerb(): Command {
  const verb = withAnswerOptions(new Command('clients').description('List the connected clients; for admins.'));
  withExamples(verb, 'arqon clients', 'arqon clients --json | jq ".clients | length"');
  return verb.action(async (options: BusOptions) => {
    const { clients } = await ask(options, 'status', {});
    if (clients === undefined) throw new Error('only admins see who is connected; pass the token of one with --jwt.');
    await printResult(options.json, { clients }, (_, paint) =>
      table(['CLIENT', 'TYPE', 'NAME', 'CHANNELS', 'CONNECTED', 'NODE'], clients.map(row), paint),
    );
  });
}

function row({ client_id, client_type, screen_name, rooms, connected_at, node }: ClientRecord): (string | null)[] {
  const joined = Object.entries(rooms).flatMap(([room, channels]) => channels.map((channel) => `${room}:${channel}`));
  return [client_id, client_type, screen_name, joined.join(' '), connected_at, node];
}
