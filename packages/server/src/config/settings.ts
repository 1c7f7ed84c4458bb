import type { Setting, SettingsTable, Spec } from './setting.ts';
import { auth, bus, hooks, rules, storage } from './settings-bus.ts';
import { casil, cron, lease, omega, store, webhook } from './settings-features.ts';
import { environment, http, log, server, telemetry } from './settings-listeners.ts';

/**
 * All settings. Flags, variables, files, validation, `/system/config` and docs/configuration.md are all based on this
 * table.
 */
const SETTINGS_TABLE: SettingsTable = {
  environment,
  server,
  bus,
  rules,
  auth,
  hooks,
  storage,
  telemetry,
  http,
  log,
  casil,
  webhook,
  cron,
  store,
  lease,
  omega,
};

/** The settings as a list, in the table's order. */
export const SETTINGS: readonly Setting[] = Object.entries(SETTINGS_TABLE).flatMap(([section, entry]) =>
  isSpec(entry)
    ? [place(entry, [section])]
    : Object.entries(entry as Readonly<Record<string, Spec<unknown>>>).map(([name, spec]) =>
        place(spec, [section, name]),
      ),
);

const BY_PATH: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((setting) => [setting.path, setting]));
const BY_ENV: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((setting) => [setting.env, setting]));

export function settingAt(path: string): Setting | undefined {
  return BY_PATH.get(path);
}

export function settingOf(variable: string): Setting | undefined {
  return BY_ENV.get(variable);
}

/** No section has a setting called `env`, so that field distinguishes a setting from a section. */
function isSpec(entry: object): entry is Spec<unknown> {
  return 'env' in entry;
}

function place(spec: Spec<unknown>, keys: readonly string[]): Setting {
  return { ...spec, keys, path: keys.map(camelCase).join('.') };
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
