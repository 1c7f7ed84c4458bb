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

All settings of the server, for operators. A setting is taken from its command-line flag, else its environment variable, else the
configuration file, else its default. Empty variables and flags count as not set. Invalid values stop the start, and all errors are listed
at once. An unknown \`ARQONBUS_*\` variable or key of the file is a warning with the nearest known name, and an error under \`prod\`.

\`arqon config show\` prints the current settings and their sources. \`arqon config check\` only checks them.

## The file

The configuration file is YAML or JSON. \`--config FILE\` names it; the default is \`arqonbus.config.yaml\` in the working directory, if
it exists. Its keys are sections and names:

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
  \`_PASSWORD_FILE\`), \`_SSL\` and \`_DB\` as needed, \`ARQONBUS_REDIS_URL\` is built from them. The same works for
  \`ARQONBUS_VALKEY_\` and \`ARQONBUS_POSTGRES_\`. A complete URL takes precedence over its parts.
- **Lists**: items separated by commas, or a JSON array when the value starts with \`[\` (for items that contain commas; \`[]\`
  is the empty list). In the file, a list.
- **Rooms**: \`room:channel,channel;room:channel\`, or a JSON object when the value starts with \`{\`. In the file, a mapping of
  rooms to lists.
- **Ports**: 0 uses any free port. If 9101 or 8080, the defaults of telemetry and HTTP, are in use, the server uses the next free port
  and reports it. If an explicitly set port is in use, the start fails; under \`prod\` this applies to every port.
- **Globs**: \`*\` matches any run of characters.

## Secrets

Secrets are never printed at any log level, and passwords in URLs are masked. Each secret can be read from a file instead (one newline
at its end is removed). Set the variable with \`_FILE\` added to the path of the file:
`;

const PRODUCTION = `## Production

With \`ARQONBUS_ENVIRONMENT=prod\` the server refuses to start, and lists every reason, unless

- authentication is on, with an HS256 secret of at least 32 bytes or with asymmetric keys, fetched over https if from a URL;
- the storage backend is durable, which means not \`memory\`;
- \`ARQONBUS_ANONYMOUS_ROLE\` is not \`admin\`;
- the HTTP admin routes are protected, by \`ARQONBUS_HTTP_API_KEY\` or by authentication;
- connections are encrypted: \`ARQONBUS_TLS_CERT_FILE\` and \`ARQONBUS_TLS_KEY_FILE\`, or \`ARQONBUS_BEHIND_TLS_PROXY=true\`;
- no variable and no key of the file is unknown.
`;

const RUNNING = `## While the server runs

\`SIGHUP\`, or \`POST /admin/restart\`, reloads everything: the configuration file, and the files of secrets, keys and certificates.
The log, and over HTTP the answer, reports what changed. If there is any error, nothing changes. Flags and variables
belong to the process and cannot be changed from outside.`;

const SECRECY = {
  value: ' Secret.',
  'url-password': ' A password in it is secret.',
  'fields-named-secret': ' Fields named `secret` in it are secret.',
  none: '',
} as const;
const HEAD = ['Variable', 'Flag', 'File key', 'Default', 'Values', 'Meaning'];

/** The full text of docs/configuration.md. A test checks that the committed page matches. */
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
    `- **At once**, including for existing connections: ${named('now')}.`,
    `- **With the listeners**, which are reopened; clients reconnect by themselves: ${named('reopened')}.`,
    '- **With a new process**: every other setting. The server keeps the old value and reports this.',
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
  return formerEnv === undefined ? '' : ` Formerly ${code(formerEnv)}, which still works.`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function escapeCell(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
