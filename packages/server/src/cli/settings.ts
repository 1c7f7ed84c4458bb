import { type Command, Option } from 'commander';
import type { Loaded } from '../config/load.ts';
import { SETTINGS } from '../config/settings.ts';
import { UsageError } from './exit.ts';
import { warn } from './terminal/output.ts';

/** Variables of the command-line client and the build, which are not server settings. */
export const CLIENT_VARIABLES: readonly string[] = [
  'ARQONBUS_WS_URL',
  'ARQONBUS_HTTP_URL',
  'ARQONBUS_TOKEN',
  'ARQONBUS_AUTH_JWT',
  'ARQONBUS_BUILD_COMMIT',
  'ARQONBUS_BUILD_DATE',
];

/** Parsed flags: settings, `config`, and the verb's own options. */
export type Flags = Readonly<Record<string, unknown>>;

/** Adds the flags of the server settings to a verb. */
export function withSettings(verb: Command, { hidden }: { hidden: boolean }): Command {
  verb.option(
    '--config <file>',
    'configuration file, YAML or JSON (default: arqonbus.config.yaml in this folder, if it exists)',
  );
  for (const { flag, description, env, defaultText, default: value } of SETTINGS) {
    if (flag === undefined) continue;
    const shown = defaultText ?? String(value);
    const option = new Option(`--${flag} <value>`, `${description} [${env}, ${shown === '' ? 'unset' : shown}]`);
    verb.addOption(option.hideHelp(hidden));
  }
  return verb;
}

/** Loads flags, environment and file like `arqon serve`; warnings go to standard error. */
export async function loadSettings(flags: Flags): Promise<Loaded> {
  const { readSources } = await import('../config/sources.ts');
  const { config: configPath, ...rest } = flags;
  return readSources({
    flags: rest,
    env: process.env,
    directory: process.cwd(),
    otherVariables: CLIENT_VARIABLES,
    ...(typeof configPath === 'string' ? { configPath } : {}),
  });
}

/** {@link loadSettings}; throws {@link UsageError} with every error. */
export async function requireSettings(flags: Flags): Promise<Extract<Loaded, { ok: true }>> {
  const loaded = await loadSettings(flags);
  for (const warning of loaded.warnings) warn(warning);
  if (loaded.ok) return loaded;
  throw new UsageError('the configuration has faults:', loaded.faults);
}
