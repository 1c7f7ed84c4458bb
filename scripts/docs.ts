// Makes the documents that the code knows better than people do. `npm run docs` writes them; `npm run docs:check` fails
// when what is committed differs from what the code says.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '@arqonbus/protocol';
import { z } from 'zod';
import type { AnyCommand } from '../packages/bus/src/commands/command.ts';
import { describe } from '../packages/bus/src/commands/connection.ts';
import { createMemoryEngine } from '../packages/bus/src/engine/memory/memory.ts';
import { CasilLayer } from '../packages/casil/src/layer.ts';
import { cliPage } from '../packages/server/src/cli/docs.ts';
import { configurationPage } from '../packages/server/src/config/docs.ts';
import { loadConfig } from '../packages/server/src/config/load.ts';
import { createLog } from '../packages/server/src/log.ts';
import { Server } from '../packages/server/src/server.ts';
import { asyncapi } from './asyncapi.ts';
import { INBOUND, OUTBOUND } from './envelope-schemas.ts';

const docs = (name: string): string => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));

interface Argument {
  readonly type?: string | string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Argument[];
  readonly description?: string;
}

function allCommands(): readonly AnyCommand[] {
  const loaded = loadConfig({});
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  const opened = CasilLayer.open(loaded.config.casil);
  if (!opened.ok) throw new Error('the default policy has faults');
  const log = createLog({ level: 'silent', pretty: false });
  return new Server(loaded.config, createMemoryEngine(), opened.layer, 'docs', { log }).commands.all;
}

function typeOf(argument: Argument): string {
  if (argument.enum !== undefined) return argument.enum.map((value) => `\`${String(value)}\``).join(' ');
  if (argument.anyOf !== undefined) return [...new Set(argument.anyOf.map(typeOf))].join(' or ');
  return [argument.type ?? 'any'].flat().join(' or ');
}

function commandsPage(commands: readonly AnyCommand[]): string {
  const sections = commands.map((command) => {
    const { name, aliases, role, description, args } = describe(command);
    const { properties = {}, required = [] } = args as { properties?: Record<string, Argument>; required?: string[] };
    const rows = Object.entries(properties).map(([key, argument]) => {
      const owed = required.includes(key) ? 'required' : '';
      return `| \`${key}\` | ${typeOf(argument)} | ${owed} | ${argument.description ?? ''} |`;
    });
    const also = aliases.length === 0 ? '' : ` Also called ${aliases.map((alias) => `\`${alias}\``).join(', ')}.`;
    const table = rows.length === 0 ? ['No arguments.'] : ['| argument | type | | |', '|---|---|---|---|', ...rows];
    return [`## ${name}`, '', `${description} Role: \`${role}\`.${also}`, '', ...table, ''].join('\n');
  });
  const head = [
    '# Commands',
    '',
    'Made from the code by `npm run docs`. What they answer is described in [protocol.md](protocol.md) and typed in',
    '`@arqonbus/protocol`. `room` and `channel` may each hold `room:channel`.',
    '',
  ];
  return [...head, ...sections].join('\n');
}

function schemas(commands: readonly AnyCommand[]): string {
  const json = (schema: z.ZodType): unknown => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const each = (all: Record<string, z.ZodType>): unknown =>
    Object.fromEntries(Object.entries(all).map(([name, schema]) => [name, json(schema)]));
  const described = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'ArqonBus wire protocol 1.0',
    description: 'Made from the code by `npm run docs`: envelopes by direction and type, command arguments by command.',
    inbound: each(INBOUND),
    outbound: each(OUTBOUND),
    commands: Object.fromEntries(commands.map((command) => [command.name, describe(command).args])),
  };
  return `${JSON.stringify(described, null, 2)}\n`;
}

function protocolPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, retryable, meaning }]) => `| \`${code}\` | ${status} | ${retryable ? 'yes' : ''} | ${meaning} |`,
  );
  const table = ['| code | over HTTP | retryable | meaning |', '|---|---|---|---|', ...rows].join('\n');
  const page = readFileSync(docs('protocol.md'), 'utf8');
  return page.replace(/<!-- errors -->[\s\S]*<!-- \/errors -->/, `<!-- errors -->\n${table}\n<!-- /errors -->`);
}

const commands = allCommands();
const pages: Readonly<Record<string, string>> = {
  'configuration.md': configurationPage(),
  'commands.md': commandsPage(commands),
  'cli.md': cliPage(),
  'protocol.schema.json': schemas(commands),
  'protocol.md': protocolPage(),
  'asyncapi.yaml': asyncapi(),
};

const check = process.argv.includes('--check');
for (const [name, text] of Object.entries(pages)) {
  const old = existsSync(docs(name)) ? readFileSync(docs(name), 'utf8') : '';
  if (old === text) continue;
  if (check) {
    process.stderr.write(`docs/${name} is not what the code says; run "npm run docs" and commit it.\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(docs(name), text);
    process.stdout.write(`docs/${name} written\n`);
  }
}
