import type { Setting } from './setting.ts';

export interface Source {
  readonly from: 'flag' | 'env' | 'file' | 'default';
  /** The flag, the variable, or the key and file. */
  readonly name: string;
}

/** The sources of values. Flags are keyed by camelCase name, as in commander. */
export interface Places {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fileName: string;
  readonly fileValues: ReadonlyMap<string, unknown>;
  readonly readFile: (path: string) => string;
}

/** An unparsed value: text from a variable, text or more from a flag, anything from a file. */
export interface Given {
  readonly source: Source;
  readonly value: unknown;
}

const FILE_SUFFIX = '_FILE';
const MAX_SHOWN = 80;

/** The variable that names the file of a secret. */
export function fileVariable(setting: Setting): string {
  return setting.env + FILE_SUFFIX;
}

/**
 * The value of a setting from the source with the highest priority; undefined if there is none, an error sentence if it
 * cannot be read. Empty flags and variables count as not set.
 */
export function findGiven(setting: Setting, places: Places): Given | string | undefined {
  const flag = setting.flag === undefined ? undefined : places.flags[camelCase(setting.flag)];
  if (flag !== undefined && flag !== '') return { source: { from: 'flag', name: `--${setting.flag}` }, value: flag };
  const fromEnv = findInEnvironment(setting, places);
  if (fromEnv !== undefined) return fromEnv;
  if (!places.fileValues.has(setting.path)) return undefined;
  const name = `${setting.path} in ${places.fileName}`;
  return { source: { from: 'file', name }, value: places.fileValues.get(setting.path) };
}

function findInEnvironment(setting: Setting, { env, readFile }: Places): Given | string | undefined {
  const direct = env[setting.env] ?? '';
  const name = fileVariable(setting);
  const path = setting.secret === undefined ? '' : (env[name] ?? '');
  if (path === '')
    return direct === '' ? findFormer(setting, env) : { source: { from: 'env', name: setting.env }, value: direct };
  if (direct !== '') return `${setting.env} and ${name} are both set; set one of them.`;
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    // Without the path, in case someone put the secret there by mistake.
    return `The file that ${name} names cannot be read${reasonOf(error)}.`;
  }
  const value = text.replace(/\r?\n$/, '');
  return value === '' ? `The file that ${name} names is empty.` : { source: { from: 'env', name }, value };
}

function findFormer({ formerEnv }: Setting, env: Places['env']): Given | undefined {
  const value = formerEnv === undefined ? '' : (env[formerEnv] ?? '');
  return formerEnv === undefined || value === '' ? undefined : { source: { from: 'env', name: formerEnv }, value };
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
}

/** The error sentence for an invalid value. */
export function faultOf(setting: Setting, { source, value }: Given): string {
  const given = setting.secret === undefined ? `is ${describe(value)}` : 'is not valid';
  const unquoted = source.from === 'file' && (typeof value === 'number' || typeof value === 'boolean');
  const hint = unquoted && setting.kind.read(String(value)).ok ? ', in quotes' : '';
  return `${source.name} ${given}; expected ${setting.kind.expected}${hint}.`;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list with a wrong item';
  if (typeof value === 'object') return 'a mapping that does not fit';
  const text = typeof value === 'string' ? value : String(value);
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return typeof value === 'string' ? JSON.stringify(shown) : shown;
}

function camelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
