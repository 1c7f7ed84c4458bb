import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A benchmark of ArqonBus alone, as a program that writes its own section of the page. */
export interface Suite {
  readonly name: string;
  readonly script: string;
  /** Arguments for a short run. */
  readonly quick: readonly string[];
  /** It takes so long that it only runs if requested by name. */
  readonly long?: true;
}

export const SUITES: readonly Suite[] = [
  { name: 'groups', script: 'groups.ts', quick: ['--rounds', '1', '--events', '2000'] },
  { name: 'engines', script: 'storage.ts', quick: ['--rounds', '1', '--seconds', '1'] },
  { name: 'rules', script: 'rules.ts', quick: [] },
  { name: 'casil', script: 'casil.ts', quick: [] },
  { name: 'rolling', script: 'rolling.ts', quick: ['--clients', '500', '--drain', '2'] },
  {
    name: 'postgres',
    script: 'postgres.ts',
    quick: ['--rows', '200000', '--streams', '100', '--rounds', '1', '--seconds', '2', '--trim', '20'],
    long: true,
  },
];

/** Runs a suite to its end, with inherited output. Returns whether it succeeded. */
export async function runSuite(
  suite: Suite,
  options: { readonly quick: boolean; readonly write: string | undefined },
): Promise<boolean> {
  const script = fileURLToPath(new URL(suite.script, import.meta.url));
  const words = ['--import', 'tsx', script, ...(options.quick ? suite.quick : [])];
  if (options.write !== undefined) words.push('--write', options.write);
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit'] });
  const end = (): void => {
    child.kill();
  };
  process.once('exit', end);
  const [code] = (await once(child, 'exit')) as [number | null];
  process.off('exit', end);
  return code === 0;
}
