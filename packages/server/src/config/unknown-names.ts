import { nearestNames } from '@arqonbus/protocol';
import { fileVariable } from './given.ts';
import { SETTINGS, settingOf } from './settings.ts';

const PREFIX = 'ARQONBUS_';
const MAX_SHOWN = 100;
const VARIABLES: readonly string[] = SETTINGS.map(({ env }) => env);
const SECRET_FILES: readonly string[] = SETTINGS.filter(({ secret }) => secret !== undefined).map(fileVariable);
const FORMER: readonly string[] = SETTINGS.flatMap(({ formerEnv }) => formerEnv ?? []);
const KNOWN_VARIABLES: ReadonlySet<string> = new Set([...VARIABLES, ...SECRET_FILES, ...FORMER]);
const PATHS: readonly string[] = SETTINGS.map(({ path }) => path);
const SECTIONS: readonly string[] = [...new Set(PATHS.map((path) => path.split('.')[0]!))];

/** A sentence for each `ARQONBUS_*` variable that is neither a setting nor among `others`. Never shows values. */
export function unknownVariables(
  env: Readonly<Record<string, string | undefined>>,
  others: readonly string[],
): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !KNOWN_VARIABLES.has(name) && !others.includes(name))
    .filter((name) => (env[name] ?? '') !== '' && !isServiceLink(name, env[name] ?? ''))
    .map((name) => {
      if (name.endsWith('_FILE') && settingOf(name.slice(0, -'_FILE'.length)) !== undefined) {
        return `${name} is not a setting: only secrets are read from files of their own.`;
      }
      const bare = nearestNames(
        name.slice(PREFIX.length),
        VARIABLES.map((known) => known.slice(PREFIX.length)),
      );
      return sentence(
        name,
        '',
        bare.map((known) => PREFIX + known),
      );
    });
}

/** A sentence for each key of a file that is not a setting. */
export function unknownKeys(keys: readonly string[], file: string): string[] {
  return keys.map((key) => sentence(key, ` in ${file}`, nearestNames(key, key.includes('.') ? PATHS : SECTIONS)));
}

function sentence(name: string, where: string, nearest: readonly string[]): string {
  const printable = name.replace(/\p{Cc}/gu, '?');
  const shown = printable.length > MAX_SHOWN ? `${printable.slice(0, MAX_SHOWN)}…` : printable;
  const guess = nearest.length === 0 ? '.' : `; did you mean ${nearest.join(', ').replace(/, ([^,]*)$/, ' or $1')}?`;
  return `${shown}${where} is not a setting${guess}`;
}

/** Kubernetes sets variables for each service; those of a service named `arqonbus` have the same prefix as settings. */
function isServiceLink(name: string, value: string): boolean {
  return /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(name) || /^(tcp|udp|sctp):\/\//.test(value);
}
