import { Command } from 'commander';
import { below, GROUPS, pathOf } from './verb.ts';
import { benchVerb } from './verbs/bench.ts';
import { casilVerb } from './verbs/casil.ts';
import { channelsVerb } from './verbs/channels.ts';
import { clientsVerb } from './verbs/clients.ts';
import { commandVerb } from './verbs/command.ts';
import { completionVerb } from './verbs/completion.ts';
import { configVerb } from './verbs/config.ts';
import { cronVerb } from './verbs/cron.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { historyVerb } from './verbs/history.ts';
import { omegaVerb } from './verbs/omega.ts';
import { pubVerb } from './verbs/pub.ts';
import { requestVerb } from './verbs/request.ts';
import { roomsVerb } from './verbs/rooms.ts';
import { sendVerb } from './verbs/send.ts';
import { serveVerb } from './verbs/serve.ts';
import { statusVerb } from './verbs/status.ts';
import { storeVerb } from './verbs/store.ts';
import { tailVerb } from './verbs/tail.ts';
import { tokenVerb } from './verbs/token.ts';
import { topVerb } from './verbs/top.ts';
import { versionVerb } from './verbs/version.ts';
import { webhookVerb } from './verbs/webhook.ts';
import { CLI_VERSION } from './version.ts';

/** One verb, one file; a new one joins its group. What a verb needs to act it loads when it acts. */
const VERBS: Readonly<Record<keyof typeof GROUPS, readonly (() => Command)[]>> = {
  run: [serveVerb],
  talk: [tailVerb, pubVerb, sendVerb, requestVerb, commandVerb],
  look: [statusVerb, versionVerb, roomsVerb, channelsVerb, clientsVerb, historyVerb, topVerb],
  operate: [storeVerb, webhookVerb, cronVerb, omegaVerb, casilVerb],
  tools: [tokenVerb, configVerb, doctorVerb, benchVerb, completionVerb],
};

/** The whole command line, as a tree. */
export function createProgram(): Command {
  const program = new Command('arqon')
    .description('ArqonBus: a structured WebSocket message bus. Runs it, and talks to one that runs.')
    .version(CLI_VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [verb]', 'print help for a verb')
    .addHelpText('after', '\nExit codes: 0 done, 1 it failed, 2 it was asked for wrongly.')
    .configureHelp({ sortSubcommands: false });
  for (const [group, verbs] of Object.entries(VERBS)) {
    for (const verb of verbs) program.addCommand(verb().helpGroup(GROUPS[group as keyof typeof GROUPS]));
  }
  for (const command of [program, ...below(program)]) {
    // Verbs throw where commander would end the process with a code of its own.
    command.summary(firstSentence(command.description()));
    command.exitOverride();
    command.showHelpAfterError(`(${pathOf(command)} --help tells what there is)`);
    if (command !== program) command.helpOption('-h, --help', 'print help').helpCommand(false);
  }
  return program;
}

/** What a list of verbs says of one. */
function firstSentence(text: string): string {
  return text.split(/(?<=[.;:])\s/, 1)[0]!.replace(/[;:]$/, '.');
}
