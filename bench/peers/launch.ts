import { execFileSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTool, isBuilt, type ToolName, versionOf } from '../../scripts/go-tools.ts';
import type { Launch, LaunchContext } from './peer.ts';

/** For servers written in Go: as many threads run their code as they have cores here, which is one. */
export const ONE_THREAD: Readonly<Record<string, string>> = { GOMAXPROCS: '1' };

/** Starts a server program of this folder. It is given the port in `PORT`. */
export function launchSource(file: string, context: LaunchContext): Launch {
  const program = fileURLToPath(new URL(file, import.meta.url));
  return {
    command: process.execPath,
    args: [...context.nodeFlags, '--import', 'tsx', program],
    env: { PORT: String(context.port) },
  };
}

/** Whether a program of this name can be run from `PATH`. */
export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The version that a program prints, without a `v` before it; all that it prints when there is no version in that. */
export function printedVersion(program: string, word: string): string {
  const printed = execFileSync(program, [word], { encoding: 'utf8' }).trim();
  return /\d+\.\d+\.\d+\S*/.exec(printed)?.[0] ?? printed;
}

/** The same of a program that may have been built here; such a one does not always know its version. */
export function toolVersion(name: ToolName, word: string): string {
  return isBuilt(name) ? versionOf(name).slice(1) : printedVersion(findTool(name) ?? name, word);
}

/** The version of a package of this repository's dependencies. */
export function packageVersion(name: string): string {
  const manifest = fileURLToPath(new URL(`../../node_modules/${name}/package.json`, import.meta.url));
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
