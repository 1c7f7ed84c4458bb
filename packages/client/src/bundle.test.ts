import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Plugin } from 'vite';
import { describe, expect, it } from 'vitest';

/** What a page pays for a client with all it can do, compressed. */
const BUDGET_BYTES = 12_000;

interface Manifest {
  imports: Record<string, Record<string, string>>;
  sideEffects: boolean;
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const manifest = JSON.parse(readFileSync(here('../package.json'), 'utf8')) as Manifest;

/** What the manifest makes of `#socket` under these conditions: a source, since that is what is bundled here. */
function socketFor(...conditions: string[]): string {
  const targets = manifest.imports['#socket'] ?? {};
  const match = Object.keys(targets).find((condition) => condition === 'default' || conditions.includes(condition));
  return (targets[match ?? ''] ?? '').replace('./dist/', './').replace('.js', '.ts');
}

async function bundle(program: string): Promise<{ code: string; modules: string[] }> {
  const entry: Plugin = {
    name: 'program',
    enforce: 'pre',
    resolveId: (id) => {
      if (id === 'program') return '\0program';
      if (id === '#socket') return here(socketFor('browser', 'import', 'module'));
      return null;
    },
    load: (id) => (id === '\0program' ? program : null),
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

describe('the browser build', () => {
  it('fits its budget and knows nothing of Node.js', async () => {
    const source = JSON.stringify(here('./index.ts'));
    const { code, modules } = await bundle(
      `import { ArqonBusClient } from ${source}; globalThis.ArqonBusClient = ArqonBusClient;`,
    );
    const bytes = gzipSync(code, { level: 9 }).length;
    console.info(`browser bundle: ${code.length} bytes, ${bytes} gzip (budget ${BUDGET_BYTES})`);
    expect(bytes).toBeLessThanOrEqual(BUDGET_BYTES);
    expect(bytes).toBeGreaterThan(BUDGET_BYTES / 2);
    expect(modules.filter((id) => id.includes('node_modules') || id.includes('socket-node'))).toEqual([]);
    expect(code).not.toMatch(/from\s*["']ws["']|require\(/);
  });

  it('leaves out what a program does not use', async () => {
    const { code } = await bundle(
      `import { TimeoutError } from ${JSON.stringify(here('./index.ts'))}; throw new TimeoutError('');`,
    );
    expect(manifest.sideEffects).toBe(false);
    expect(gzipSync(code).length).toBeLessThan(600);
  });

  it('is chosen wherever there is a WebSocket of the platform, and ws only in Node.js', () => {
    expect(socketFor('browser', 'import')).toBe('./socket-web.ts');
    // Deno also answers to "node".
    expect(socketFor('deno', 'node', 'import')).toBe('./socket-web.ts');
    expect(socketFor('worker', 'import')).toBe('./socket-web.ts');
    expect(socketFor('node', 'import')).toBe('./socket-node.ts');
  });
});
