import type { Setting } from './setting.ts';

export interface Source {
  readonly from: 'flag' | 'env' | 'file' | 'default';
  /** The flag, the variable, or the key and the file. */
  readonly name: string;
}

/** The places that a value may come from. Flags are keyed by their names in camelCase, as commander gives them. */
export interface Places {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fileName: string;
  readonly fileValues: ReadonlyMap<string, unknown>;
  readonly readFile: (path: string) => string;
}

/** A value as it was given, not yet read: text from a variable, text or more from a flag, whatever a file holds. */
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
 * What was given for a setting, by the place that goes before the others; undefined when nothing was, a fault's sentence
 * when it cannot be told. Empty flags and variables are nothing.
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
    // Not the path: a secret that was put there by mistake must not be shown.
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

/** The sentence about a value that its setting's kind refuses. */
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
