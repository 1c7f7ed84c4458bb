import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const directories = new Set<string>();

/**
 * Creates an empty directory in the system's temporary directory. The caller removes it; {@link removeScratch} removes
 * the rest.
 */
export function makeScratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'arqonbus-bench-'));
  directories.add(directory);
  return directory;
}

export function discardScratch(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}

/** Called at the end of the process, however it ends. */
export function removeScratch(): void {
  for (const directory of directories) discardScratch(directory);
}
