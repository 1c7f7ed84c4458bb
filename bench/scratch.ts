import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const directories = new Set<string>();

/** An empty directory in the system's temporary one. Whoever made it removes it; {@link removeScratch} removes what is left. */
export function makeScratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'arqonbus-bench-'));
  directories.add(directory);
  return directory;
}

export function discardScratch(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

/** For the end of the process, whatever ends it. */
export function removeScratch(): void {
  for (const directory of directories) discardScratch(directory);
}
