import { Command, type Option } from 'commander';
import { createProgram } from './program.ts';
import { withAnswerOptions } from './remote/options.ts';
import { below, examplesOf, pathOf } from './verb.ts';

const INTRODUCTION = `# Command line

<!-- Generated from the verbs in packages/server/src/cli by \`npm run docs\`: edit those. -->

All commands of \`arqon\`, for users and operators. \`arqon serve\` runs a bus, and the other commands use one. \`arqon COMMAND --help\` prints
the description of a command.

**Output.** On a terminal the output has colours, unless \`NO_COLOR\` is set, and tables that fit its width. In a pipe a table is
one row per line, with cells separated by tabs. With \`--json\` standard output contains only one JSON document, or one per line for
continuous output. Remarks, progress and errors go to standard error. If the reader of the output exits
(\`arqon tail | head -1\`), the command ends quietly. Ctrl-C ends a continuous command with exit code 0.

**Untrusted text.** Text from a message, a file or a server cannot control your terminal or change the order of displayed
text. Control characters (C0, C1), bidirectional controls, invisible characters and lone surrogates are printed as
\`\\u{202e}\`, and in JSON as \`\\u202e\`, which programs read as the same text.

**Exit codes.** 0: success. 1: failure, refusal or timeout. 2: wrong use, such as an unknown option, a malformed
value or an invalid configuration. Further meanings are described with each command.

**Address.** \`--ws-url\`, else \`ARQONBUS_WS_URL\`, else \`ws://127.0.0.1:9100\`. \`status\`, \`version\`, \`top\` and
\`doctor\` also need the HTTP port and get its address from the bus. \`--http-url\` or \`ARQONBUS_HTTP_URL\` overrides it.

**Tokens.** The token is that of \`--jwt\`, else of \`ARQONBUS_TOKEN\`, else of \`ARQONBUS_AUTH_JWT\`. Other
users of the machine can see options, but not variables.

**TLS.** For a bus at \`wss://\` with a certificate that Node.js does not trust, set \`--ca FILE\`: the certificate of its authority, or
the certificate itself if it is self-signed. \`NODE_EXTRA_CA_CERTS=FILE\` does the same for every command.
`;

/** A verb with only the shared options. */
const SHARED = withAnswerOptions(new Command());

/** The full text of docs/cli.md. A test checks that the committed page matches. */
export function cliPage(): string {
  const verbs = below(createProgram());
  const list = verbs
    .filter(({ parent }) => parent?.parent === null)
    .map((verb) => `- [\`${pathOf(verb)}\`](#${pathOf(verb).replaceAll(' ', '-')})`);
  const shared = [
    '## Shared options',
    '',
    'Every command that connects to a bus has these options.',
    '',
    ...rowsOf(SHARED),
  ].join('\n');
  return [INTRODUCTION, `${list.join('\n')}\n`, shared, ...verbs.map(sectionOf)].join('\n');
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
    ...(isGroup
      ? [`Its verbs: ${children.join(', ')}.`, '']
      : ['```text', `${pathOf(verb)} ${verb.usage()}`, '```', '']),
    ...rowsOf(verb, SHARED.options),
    ...(hasShared(verb) ? ['It also has the [shared options](#shared-options).', ''] : []),
    ...(isGroup ? [] : ['```sh', ...examplesOf(verb), '```', '']),
  ].join('\n');
}

function hasShared(verb: Command): boolean {
  return SHARED.options.every((shared) => verb.options.some((option) => isSame(option, shared)));
}

function isSame(one: Option, other: Option): boolean {
  return one.flags === other.flags && one.description === other.description;
}

/** The option table of a verb, without options documented elsewhere. */
function rowsOf(verb: Command, toldElsewhere: readonly Option[] = []): string[] {
  const isTold = (option: Option): boolean => hasShared(verb) && toldElsewhere.some((told) => isSame(option, told));
  const options = verb.options.filter((option) => !option.hidden && !isTold(option));
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
  readonly defaultValueDescription?: string | undefined;
  readonly envVar?: string | undefined;
}

function choicesOf({ description, argChoices, defaultValue, defaultValueDescription, envVar }: Described): string {
  const parts = [
    ...(description === '' ? [] : [description]),
    ...(argChoices === undefined ? [] : [argChoices.map((choice) => `\`${choice}\``).join(', ')]),
    ...(envVar === undefined ? [] : [`environment: \`${envVar}\``]),
    ...(defaultValue === undefined || defaultValue === false
      ? []
      : [`default: \`${defaultValueDescription ?? String(defaultValue)}\``]),
  ];
  return parts.join('; ').replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

function code(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}
