import { execFileSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTool, isBuilt, type ToolName, versionOf } from '../../scripts/go-tools.ts';
import type { Launch, LaunchContext } from './peer.ts';

/** For servers written in Go: one thread for their code, since they have one core here. */
export const ONE_THREAD: Readonly<Record<string, string>> = { GOMAXPROCS: '1' };

/** Starts a server program in this folder, with its port in `PORT`. */
export function launchSource(file: string, context: LaunchContext): Launch {
  const program = fileURLToPath(new URL(file, import.meta.url));
  return {
    command: process.execPath,
    args: [...context.nodeFlags, '--import', 'tsx', program],
    env: { PORT: String(context.port) },
  };
}

/** Whether a program with this name is in `PATH`. */
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

/** The version that a program prints, without a leading `v`; the whole output if it contains no version. */
export function printedVersion(program: string, word: string): string {
  const printed = execFileSync(program, [word], { encoding: 'utf8' }).trim();
  return /\d+\.\d+\.\d+\S*/.exec(printed)?.[0] ?? printed;
}

/** The same for a program that may have been built here, and then may not know its version. */
export function toolVersion(name: ToolName, word: string): string {
  return isBuilt(name) ? versionOf(name).slice(1) : printedVersion(findTool(name) ?? name, word);
}

/** The version of a dependency of this repository. */
export function packageVersion(name: string): string {
  const manifest = fileURLToPath(new URL(`../../node_modules/${name}/package.json`, import.meta.url));
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
