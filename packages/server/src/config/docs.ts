import { type Applied, appliedHow } from './changes.ts';
import type { Config } from './config.ts';
import { fileVariable } from './given.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';

const TITLES: Readonly<Record<keyof Config, string>> = {
  environment: 'Environment',
  server: 'Bus server',
  bus: 'Rooms, channels, limits',
  rules: 'Channel rules',
  auth: 'Authentication',
  hooks: 'Hooks',
  storage: 'History and storage',
  telemetry: 'Telemetry',
  http: 'HTTP',
  log: 'Logs',
  casil: 'Content inspection (CASIL)',
  webhook: 'Webhooks',
  cron: 'Scheduled messages',
  store: 'Key-value store',
  lease: 'Leases',
  omega: 'Omega (experimental)',
};

const INTRODUCTION = `# Configuration

<!-- Generated from the table of settings in packages/server/src/config by \`npm run docs\`: edit that table. -->

A setting is taken from its command-line flag, else its environment variable, else the configuration file, else its
default. Empty variables and flags count as not set. An invalid value stops the start, and all faults are listed at once;
an unknown \`ARQONBUS_*\` variable or key of the file is a warning with the nearest known name, and a fault under \`prod\`.

\`arqon config show\` prints the settings in force and where each came from, \`arqon config check\` only checks them.

## The file

YAML or JSON, named by \`--config FILE\`; else \`arqonbus.config.yaml\` in the working directory, if it is there. Its keys
are sections and names:

\`\`\`yaml
server:
  host: 0.0.0.0
  port: 9100
auth:
  enabled: true
storage:
  backend: sqlite
  sqlitePath: /var/lib/arqonbus/bus.db
bus:
  bootstrapRooms:
    science: [general, explore]
casil:
  enabled: true
  redactionPaths: [password, items.*.pin]
\`\`\`

## Values

- **true or false**: \`true\`/\`false\`, \`1\`/\`0\`, \`yes\`/\`no\`, \`on\`/\`off\`, in any case.
- **Addresses of backends** may be given in parts: with \`ARQONBUS_REDIS_HOST\`, and \`_PORT\`, \`_USER\`, \`_PASSWORD\` (or
  \`_PASSWORD_FILE\`), \`_SSL\` and \`_DB\` beside it where they are needed, \`ARQONBUS_REDIS_URL\` is made of them. The same for
  \`ARQONBUS_VALKEY_\` and \`ARQONBUS_POSTGRES_\`. An address that is given whole goes before its parts.
- **Lists**: items separated by commas, or a JSON array when the value starts with \`[\` (for items with commas in them; \`[]\`
  is the empty list). In the file a list.
- **Rooms**: \`room:channel,channel;room:channel\`, or a JSON object when the value starts with \`{\`. In the file a mapping of
  rooms to lists.
- **Ports**: 0 takes any free port. Where 9101 or 8080, the defaults of telemetry and HTTP, are in use, the next free port is
  taken and the start says so. A port that was asked for is taken or the start fails, and under \`prod\` every port is.
- **Globs**: \`*\` stands for any run of characters.

## Secrets

A secret is never printed, whatever the log level; of a URL the password is masked. Each may be read from a file instead,
without one newline at its end, if the file is named by the variable with \`_FILE\` added:
`;

const PRODUCTION = `## Production

With \`ARQONBUS_ENVIRONMENT=prod\` the server refuses to start, telling every fault, unless

- authentication is on, with an HS256 secret of at least 32 bytes or with asymmetric keys, fetched by https if by URL;
- the storage backend is durable, that is, another than \`memory\`;
- \`ARQONBUS_ANONYMOUS_ROLE\` is not \`admin\`;
- the HTTP admin routes are protected, by \`ARQONBUS_HTTP_API_KEY\` or by authentication;
- connections are encrypted: \`ARQONBUS_TLS_CERT_FILE\` and \`ARQONBUS_TLS_KEY_FILE\`, or \`ARQONBUS_BEHIND_TLS_PROXY=true\`;
- no variable and no key of the file is unknown.
`;

const RUNNING = `## While the server runs

\`SIGHUP\`, or \`POST /admin/restart\`, has it read everything again: the configuration file, files of secrets, keys and certificates.
What changed is told in the log, and over HTTP in the answer. A fault anywhere in it changes nothing at all. Flags and variables
are those of the process, which nothing can change from outside.`;

const SECRECY = {
  value: ' Secret.',
  'url-password': ' A password in it is secret.',
  'fields-named-secret': ' What is called `secret` in it is secret.',
  none: '',
} as const;
const HEAD = ['Variable', 'Flag', 'File key', 'Default', 'Values', 'Meaning'];

/** The text of docs/configuration.md, whole. The committed page must be the same, which a test checks. */
export function configurationPage(): string {
  const secrets = SETTINGS.filter(({ secret }) => secret !== undefined).map(
    (setting) => `- \`${fileVariable(setting)}\``,
  );
  const sections = Object.entries(TITLES).map(([section, title]) => `## ${title}\n\n${tableOf(section)}\n`);
  return [INTRODUCTION, `${secrets.join('\n')}\n`, PRODUCTION, runningSection(), ...sections].join('\n');
}

function runningSection(): string {
  const named = (how: Applied): string =>
    SETTINGS.filter((setting) => appliedHow(setting) === how)
      .map(({ path }) => code(path))
      .join(', ');
  const items = [
    `- **At once**, also for connections that are there where it is about them: ${named('now')}.`,
    `- **With the listeners**, which are opened again; clients come back by themselves: ${named('reopened')}.`,
    '- **With a new process**: every other setting. The server goes on with what it started with, and says so.',
  ];
  return `${RUNNING}\n\n${items.join('\n')}\n`;
}

function tableOf(section: string): string {
  const rows = SETTINGS.filter(({ keys }) => keys[0] === section).map((setting) =>
    [
      code(setting.env),
      setting.flag === undefined ? '' : code(`--${setting.flag}`),
      code(setting.path),
      shownDefault(setting),
      setting.kind.expected,
      setting.description + formerly(setting) + SECRECY[setting.secret ?? 'none'],
    ].map(escapeCell),
  );
  const widths = HEAD.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column]!)].map(({ length }) => length)),
  );
  const rule = widths.map((width) => '-'.repeat(width));
  const lines = [HEAD, rule, ...rows].map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | '));
  return lines.map((line) => `| ${line} |`).join('\n');
}

function shownDefault({ kind, default: value, defaultText }: Setting): string {
  if (defaultText !== undefined) return defaultText;
  const written = kind.format(value);
  return written === '' || written === '[]' ? '' : code(written);
}

function formerly({ formerEnv }: Setting): string {
  return formerEnv === undefined ? '' : ` Formerly ${code(formerEnv)}, which is still read.`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function escapeCell(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
