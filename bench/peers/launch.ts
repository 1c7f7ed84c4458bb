import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Launch, LaunchContext } from './peer.ts';

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
