import type { Command } from 'commander';
import { createProgram } from './program.ts';
import { below, examplesOf, pathOf } from './verb.ts';

const INTRODUCTION = `# Command line

<!-- Generated from the verbs in packages/server/src/cli by \`npm run docs\`: edit those. -->

\`arqon\` runs a bus (\`arqon serve\`) and talks to one that runs. \`arqon VERB --help\` tells what follows here.

**Output.** Colours and aligned tables come on a terminal only, and no colours where \`NO_COLOR\` is set. In a pipe a table is
one row a line, its cells parted by tabs. With \`--json\` there is one JSON document on standard output, or one a line where
output goes on, and nothing else. Remarks, progress and errors go to standard error. A verb whose reader has gone
(\`arqon tail | head -1\`) ends quietly; Ctrl-C ends what runs on politely, with exit code 0.

**Exit codes.** 0: done. 1: it failed, was refused, or its time was over. 2: it was asked for wrongly: an unknown option, a
malformed value, an invalid configuration. What else a verb says by its exit code stands with the verb.

**Where it goes.** \`--ws-url\` (else \`ARQONBUS_WS_URL\`, else \`ws://127.0.0.1:9100\`) is the bus and \`--http-url\` (else
\`ARQONBUS_HTTP_URL\`, else \`http://127.0.0.1:8080\`) its HTTP port. A bus that asks for tokens gets \`--jwt\` or
\`ARQONBUS_TOKEN\`, which, unlike an option, no other user of the machine can see.
`;

/** The text of docs/cli.md, whole. The committed page must be the same, which a test checks. */
export function cliPage(): string {
  const verbs = below(createProgram());
  const list = verbs
    .filter(({ parent }) => parent?.parent === null)
    .map((verb) => `- [\`${pathOf(verb)}\`](#${pathOf(verb).replaceAll(' ', '-')})`);
  return [INTRODUCTION, `${list.join('\n')}\n`, ...verbs.map(sectionOf)].join('\n');
}

function sectionOf(verb: Command): string {
  const depth = pathOf(verb).split(' ').length;
  const children = verb.commands.map((child) => `\`${pathOf(child)}\``);
  const isGroup = children.length > 0;
  return [
    `${'#'.repeat(Math.min(depth, 4))} ${pathOf(verb)}`,
    '',
    verb.description(),
    '',
    ...(isGroup ? [`Has ${children.join(', ')}.`, ''] : ['```text', `${pathOf(verb)} ${verb.usage()}`, '```', '']),
    ...rowsOf(verb),
    ...(isGroup ? [] : ['```sh', ...examplesOf(verb), '```', '']),
  ].join('\n');
}

function rowsOf(verb: Command): string[] {
  const options = verb.options.filter(({ hidden }) => !hidden);
  const rows = [
    ...verb.registeredArguments.map((argument) => [code(argument.name()), choicesOf(argument)]),
    ...options.map((option) => [code(option.flags), choicesOf(option)]),
  ].map(([name = '', meaning = '']) => `| ${name} | ${meaning} |`);
  return rows.length === 0 ? [] : ['| argument or option | |', '|---|---|', ...rows, ''];
}

interface Described {
  readonly description: string;
  readonly argChoices?: readonly string[] | undefined;
  readonly defaultValue?: unknown;
  readonly envVar?: string | undefined;
}

function choicesOf({ description, argChoices, defaultValue, envVar }: Described): string {
  const parts = [
    ...(description === '' ? [] : [description]),
    ...(argChoices === undefined ? [] : [argChoices.map((choice) => `\`${choice}\``).join(', ')]),
    ...(envVar === undefined ? [] : [`environment: \`${envVar}\``]),
    ...(defaultValue === undefined || defaultValue === false ? [] : [`default: \`${String(defaultValue)}\``]),
  ];
  return parts.join('; ').replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}
