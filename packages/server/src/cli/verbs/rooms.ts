import { Command } from 'commander';
import { askAndPrint, type BusOptions, withAnswerOptions } from '../remote/bus.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon rooms`. */
export function roomsVerb(): Command {
  const verb = withAnswerOptions(new Command('rooms').description('List the rooms.'));
  withExamples(verb, 'arqon rooms', 'arqon rooms --json | jq -r .rooms[].room');
  return verb.action((options: BusOptions) =>
    askAndPrint(options, 'list_rooms', {}, ({ rooms }, paint) =>
      table(
        ['ROOM', 'CHANNELS', 'MEMBERS', 'KIND'],
        rooms.map(({ room, channels, members, hardcoded }) => [room, channels, members, hardcoded ? 'built-in' : '']),
        paint,
      ),
    ),
  );
}
