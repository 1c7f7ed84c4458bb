// Generates the documents that are derived from code. `npm run docs` writes them; `npm run docs:check` fails when a
// committed one differs.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '@arqonbus/protocol';
import { cliPage } from '../packages/server/src/cli/docs.ts';
import { configurationPage } from '../packages/server/src/config/docs.ts';
import { allCommands } from './all-commands.ts';
import { asyncapi } from './asyncapi.ts';
import { commandTypes, TYPES_FILE } from './command-types.ts';
import { commandsPage } from './commands-page.ts';
import { protocolSchema } from './protocol-schema.ts';

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

function protocolPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, retryable, meaning }]) => `| \`${code}\` | ${status} | ${retryable ? 'yes' : ''} | ${meaning} |`,
  );
  const table = ['| code | over HTTP | retryable | meaning |', '|---|---|---|---|', ...rows].join('\n');
  const page = readFileSync(at('docs/protocol.md'), 'utf8');
  return page.replace(/<!-- errors -->[\s\S]*<!-- \/errors -->/, `<!-- errors -->\n${table}\n<!-- /errors -->`);
}

const commands = await allCommands();
const pages: Readonly<Record<string, string>> = {
  'docs/configuration.md': configurationPage(),
  'docs/commands.md': commandsPage(commands),
  'docs/cli.md': cliPage(),
  'docs/protocol.schema.json': `${JSON.stringify(protocolSchema(commands), null, 2)}\n`,
  'docs/protocol.md': protocolPage(),
  'docs/asyncapi.yaml': asyncapi(commands),
  [TYPES_FILE]: commandTypes(commands),
};

const check = process.argv.includes('--check');
for (const [path, text] of Object.entries(pages)) {
  const old = existsSync(at(path)) ? readFileSync(at(path), 'utf8') : '';
  if (old === text) continue;
  if (check) {
    process.stderr.write(`${path} is not what the code says; run "npm run docs" and commit it.\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(at(path), text);
    process.stdout.write(`${path} written\n`);
  }
}
