import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

export interface SmallDisk {
  readonly directory: string;
  unmount(): void;
}

/** A disk in memory of the given size (`2m`) inside `parent`; null where this process may not mount. */
export function tryMountTmpfs(parent: string, size: string): SmallDisk | null {
  const directory = join(parent, 'disk');
  mkdirSync(directory);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'pipe' });
  } catch (error) {
    console.warn(`No tmpfs can be mounted here, so that nothing is shown on a full or read-only disk: ${error}`);
    return null;
  }
  return { directory, unmount: () => void execFileSync('umount', [directory]) };
}
