import { LineCounter, parseDocument } from 'yaml';
import { SETTINGS, settingAt } from './settings.ts';

/** A configuration file: YAML, or JSON, which is a subset of it. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** The parsed content of a file: values by setting path, unknown keys, and errors. */
export interface FileContent {
  readonly values: ReadonlyMap<string, unknown>;
  readonly unknown: readonly string[];
  readonly faults: readonly string[];
}

const NOTHING: FileContent = { values: new Map(), unknown: [], faults: [] };
const SECTIONS: ReadonlySet<string> = new Set(
  SETTINGS.flatMap(({ path }) => (path.includes('.') ? [path.slice(0, path.indexOf('.'))] : [])),
);

/** Parses a file. A key without a value (`port:` alone) counts as not set. Never throws. */
export function parseConfigFile(file: ConfigFile): FileContent {
  const lines = new LineCounter();
  // The parser's messages quote the text, which may contain secrets: only error codes and positions are reported.
  const document = parseDocument(file.text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const faults = problems.map(({ code, pos }) => {
      const { line, col } = lines.linePos(pos[0]);
      return `${file.path} is not valid YAML: ${code} at line ${line}, column ${col}.`;
    });
    return { ...NOTHING, faults };
  }
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    return { ...NOTHING, faults: [`${file.path} is not valid YAML: it has an alias that cannot be resolved.`] };
  }
  if (content === null || content === undefined) return NOTHING;
  if (!isMapping(content)) return { ...NOTHING, faults: [`${file.path} must hold a mapping of sections.`] };
  return sortOut(content, file.path);
}

function sortOut(content: Readonly<Record<string, unknown>>, file: string): FileContent {
  const values = new Map<string, unknown>();
  const unknown: string[] = [];
  const faults: string[] = [];
  const take = (path: string, value: unknown): void => {
    if (settingAt(path) === undefined) unknown.push(path);
    else if (value !== null && value !== undefined) values.set(path, value);
  };
  for (const [key, value] of Object.entries(content)) {
    if (!SECTIONS.has(key)) take(key, value);
    else if (isMapping(value)) for (const [name, inner] of Object.entries(value)) take(`${key}.${name}`, inner);
    else if (value !== null) faults.push(`${key} in ${file} must be a mapping of settings.`);
  }
  return { values, unknown, faults };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
