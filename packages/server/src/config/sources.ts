import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ConfigFile } from './config-file.ts';
import { type Loaded, type LoadInput, loadConfig } from './load.ts';

/** Read if it exists and no other file is named. */
export const DEFAULT_CONFIG_FILE = 'arqonbus.config.yaml';

type FoundFile = { readonly ok: true; readonly file?: ConfigFile } | { readonly ok: false; readonly fault: string };

/**
 * Finds and reads the configuration file: `named` (`--config`), which must exist, or else {@link DEFAULT_CONFIG_FILE}
 * in `directory`, which may be missing.
 */
function readConfigFile(named: string | undefined, directory: string): FoundFile {
  const path = named ?? DEFAULT_CONFIG_FILE;
  try {
    return { ok: true, file: { path, text: readFileSync(resolve(directory, path), 'utf8') } };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
    if (named === undefined && code === 'ENOENT') return { ok: true };
    return { ok: false, fault: `The configuration file ${path} cannot be read (${code}).` };
  }
}

export interface SystemSources extends Omit<LoadInput, 'file'> {
  readonly configPath?: string;
  readonly directory: string;
}

/** {@link loadConfig} with the file of {@link readConfigFile}; used at start and for every reload. */
export function readSources({ configPath, directory, ...rest }: SystemSources): Loaded {
  const found = readConfigFile(configPath, directory);
  if (found.ok) return loadConfig(found.file === undefined ? rest : { ...rest, file: found.file });
  const loaded = loadConfig(rest);
  return { ok: false, faults: [found.fault, ...(loaded.ok ? [] : loaded.faults)], warnings: loaded.warnings };
}
