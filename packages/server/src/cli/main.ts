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

program.exitOverride();
program.parseAsync().catch(fail);
