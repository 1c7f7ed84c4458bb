import { Command } from 'commander';
import { askAndPrint, type BusOptions, withAnswerOptions } from '../remote/bus.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon channels`. */
export function channelsVerb(): Command {
  const verb = new Command('channels').description('List the channels of a room.').argument('<room>', 'name of a room');
  withExamples(withAnswerOptions(verb), 'arqon channels science');
  return verb.action((room: string, options: BusOptions) =>
    askAndPrint(options, 'list_channels', { room }, ({ channels }, paint) =>
      table(
        ['CHANNEL', 'MEMBERS', 'TYPE', 'CREATED'],
        channels.map(({ channel, members, type, created_at }) => [channel, members, type, created_at]),
        paint,
      ),
    ),
  );
}
