import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const manifest: { imports: Record<string, Record<string, string>>; sideEffects: boolean } = JSON.parse(
  readFileSync(here('../package.json'), 'utf8'),
);

/** What the manifest makes of `#socket` under these conditions: a source, since that is what is bundled here. */
export function socketFor(...conditions: string[]): string {
  const targets = manifest.imports['#socket'] ?? {};
  const match = Object.keys(targets).find((condition) => condition === 'default' || conditions.includes(condition));
  return (targets[match ?? ''] ?? '').replace('./dist/', './').replace('.js', '.ts');
}

/** Bundles a program for browsers as a page's own build would; `CLIENT` in it stands for this package. */
export async function bundle(program: string): Promise<{ code: string; modules: string[] }> {
  const entry: Plugin = {
    name: 'program',
    enforce: 'pre',
    resolveId: (id) => {
      if (id === 'program') return '\0program';
      if (id === '#socket') return here(socketFor('browser', 'import', 'module'));
      return null;
    },
    load: (id) => (id === '\0program' ? program.replaceAll('CLIENT', JSON.stringify(here('./index.ts'))) : null),
  };
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    root: here('..'),
    plugins: [entry],
    resolve: { alias: { '@arqonbus/protocol': here('../../protocol/src/index.ts') } },
    build: { write: false, target: 'es2022', modulePreload: false, rolldownOptions: { input: 'program' } },
  });
  if (!('output' in result)) throw new Error('A build of one program has one output.');
  const chunks = result.output.filter((file) => file.type === 'chunk');
  return {
    code: chunks.map(({ code }) => code).join('\n'),
    modules: chunks.flatMap(({ modules }) => Object.keys(modules)),
  };
}
