import { Command } from 'commander';
import { VERSION } from '../server.ts';
import { fail } from './exit.ts';
import { serveVerb } from './serve.ts';

const program = new Command('arqon')
  .description('ArqonBus: a structured WebSocket message bus. Runs it, and talks to one that runs.')
  .version(VERSION, '-V, --version')
  .showHelpAfterError('(arqon --help tells what there is)')
  .configureHelp({ sortSubcommands: false });

// One verb, one file; a new one joins this list.
for (const verb of [serveVerb]) program.addCommand(verb());

exitByOurCodes(program);
program.parseAsync().catch(fail);

/** Makes every verb throw where commander would end the process with a code of its own. */
function exitByOurCodes(command: Command): void {
  command.exitOverride();
  for (const verb of command.commands) exitByOurCodes(verb);
}
