import { Command } from 'commander';
import { readSecondToken } from './remote/options.ts';
import { remark, remarkInLog } from './terminal/output.ts';
import { lines, StyledText } from './terminal/styled-text.ts';
import { write } from './terminal/writer.ts';
import { below, GROUPS, pathOf } from './verb.ts';
import { accessVerb } from './verbs/access.ts';
import { backupVerb, restoreVerb } from './verbs/backup.ts';
import { benchVerb } from './verbs/bench.ts';
import { casilVerb } from './verbs/casil.ts';
import { completionVerb } from './verbs/completion.ts';
import { configVerb } from './verbs/config.ts';
import { cronVerb } from './verbs/cron.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { groupVerb } from './verbs/group.ts';
import { historyVerb } from './verbs/history.ts';
import { leaseVerb } from './verbs/lease.ts';
import { channelsVerb, clientsVerb, roomsVerb } from './verbs/lists.ts';
import { mailVerb } from './verbs/mail.ts';
import { mcpVerb } from './verbs/mcp.ts';
import { omegaVerb } from './verbs/omega.ts';
import { presenceVerb } from './verbs/presence.ts';
import { pubVerb, sendVerb } from './verbs/publish.ts';
import { commandVerb, requestVerb } from './verbs/request.ts';
import { explainVerb, rulesVerb } from './verbs/rules.ts';
import { serveVerb } from './verbs/serve.ts';
import { statusVerb, versionVerb } from './verbs/status.ts';
import { storageVerb } from './verbs/storage.ts';
import { storeVerb } from './verbs/store.ts';
import { streamVerb } from './verbs/stream.ts';
import { tailVerb } from './verbs/tail.ts';
import { tokenVerb } from './verbs/token.ts';
import { topVerb } from './verbs/top.ts';
import { typesVerb } from './verbs/types.ts';
import { waitVerb } from './verbs/wait.ts';
import { webhookVerb } from './verbs/webhook.ts';
import { workVerb } from './verbs/work.ts';
import { CLI_VERSION } from './version.ts';

/** Add a new verb to its group. Verbs load their dependencies only when they run. */
const VERBS: Readonly<Record<keyof typeof GROUPS, readonly (() => Command)[]>> = {
  run: [serveVerb],
  talk: [tailVerb, waitVerb, workVerb, pubVerb, streamVerb, sendVerb, mailVerb, requestVerb, commandVerb, mcpVerb],
  look: [statusVerb, versionVerb, roomsVerb, channelsVerb, clientsVerb, presenceVerb, historyVerb, topVerb],
  operate: [
    groupVerb,
    storeVerb,
    leaseVerb,
    webhookVerb,
    cronVerb,
    omegaVerb,
    casilVerb,
    rulesVerb,
    explainVerb,
    accessVerb,
  ],
  tools: [
    tokenVerb,
    configVerb,
    typesVerb,
    storageVerb,
    backupVerb,
    restoreVerb,
    doctorVerb,
    benchVerb,
    completionVerb,
  ],
};

/** Output of commander goes through the writer; quoted arguments are escaped onto one line. */
const OUTPUT = {
  writeOut: (page: string): void => void write(process.stdout, StyledText.layout(page)),
  writeErr: (page: string): void => void write(process.stderr, StyledText.layout(page)),
  outputError: (message: string): void => {
    const [suggestion = ''] = /\n\(Did you mean [^\n]*\)\n$/.exec(message) ?? [];
    const complaint = message.slice(0, message.length - suggestion.length).trimEnd();
    write(process.stderr, lines([complaint, ...(suggestion === '' ? [] : [suggestion.trim()]), '']));
  },
};

/** Without a terminal, the output of `serve` is JSON, including command line errors. */
const OUTPUT_OF_SERVER = {
  ...OUTPUT,
  writeErr: (page: string): void => complain(page, () => OUTPUT.writeErr(page)),
  outputError: (message: string): void => complain(message, () => OUTPUT.outputError(message)),
};

function complain(message: string, print: () => void): void {
  if (process.stderr.isTTY) {
    print();
    return;
  }
  remarkInLog();
  remark(message.trim().replaceAll(/\s*\n\s*/g, ' '), [], 'fatal');
}

/** The whole command tree. */
export function createProgram(): Command {
  const program = new Command('arqon')
    .description('ArqonBus: a structured WebSocket message bus. Runs it, and talks to one that runs.')
    .version(CLI_VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [verb]', 'print help for a verb')
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 wrong use.')
    .configureHelp({ sortSubcommands: false })
    .hook('preAction', (_program, verb) => readSecondToken(verb));
  for (const [group, verbs] of Object.entries(VERBS)) {
    for (const verb of verbs) program.addCommand(verb().helpGroup(GROUPS[group as keyof typeof GROUPS]));
  }
  for (const command of [program, ...below(program)]) {
    command.summary(firstSentence(command.description()));
    // Throws instead of exiting the process with its own exit code.
    command.exitOverride();
    command.showHelpAfterError(`("${pathOf(command)} --help" lists what there is)`);
    command.configureOutput(command.name() === 'serve' ? OUTPUT_OF_SERVER : OUTPUT);
    if (command !== program) command.helpOption('-h, --help', 'print help').helpCommand(false);
  }
  return program;
}

/** The summary of a verb in lists. */
function firstSentence(text: string): string {
  return text.split(/(?<=[.;:])\s/, 1)[0]!.replace(/[;:]$/, '.');
}
