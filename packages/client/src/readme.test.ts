import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startTestServer } from '../../../test/fixtures/start.ts';
import * as client from './index.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const examples = [...readFileSync(here('../README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code]) => code ?? '',
);

/** One module of all examples, each in a function of its own that is given a connected client. */
function asModule(sources: { client: string; testing: string }): string {
  const imports = new Set<string>();
  const functions = examples.map((code, index) => {
    const body = code.replace(/^import \{(.*)\} from '(.*)';\n/gm, (_line, names: string, from: string) => {
      const source = from === '@arqonbus/client' ? sources.client : sources.testing;
      for (const name of names.split(',')) imports.add(`import { ${name.trim()} } from '${source}';`);
      return '';
    });
    return `export async function example${index}(${/\bclient = /.test(body) ? '' : 'client: Client'}): Promise<void> {\n${body}}\n`;
  });
  const head = `import type { ArqonBusClient as Client } from '${sources.client}';\n`;
  return head + [...imports].join('\n') + functions.join('\n');
}

describe('the README', () => {
  it('has examples that the compiler accepts', () => {
    expect(examples.length).toBeGreaterThan(10);
    const folder = mkdtempSync(join(tmpdir(), 'arqonbus-readme-'));
    const compilerOptions = {
      noEmit: true,
      composite: false,
      rootDir: '/',
      typeRoots: [here('../../../node_modules/@types')],
      rewriteRelativeImportExtensions: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
    };
    const project = {
      extends: here('../tsconfig.json'),
      include: ['*.ts'],
      exclude: [],
      references: [],
      compilerOptions,
    };
    try {
      const sources = { client: here('./index.ts'), testing: here('./testing/fake-server.ts') };
      writeFileSync(join(folder, 'examples.ts'), asModule(sources));
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
      const compiler = here('../../../node_modules/typescript/bin/tsc');
      execFileSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      throw new Error((error as { stdout?: string }).stdout ?? String(error));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('begins with five lines that work', async () => {
    const server = await startTestServer();
    const lines: unknown[][] = [];
    const stopped = new Error('the reader has seen enough');
    let used: client.ArqonBusClient | undefined;
    class Observed extends client.ArqonBusClient {
      constructor(options: client.ClientOptions) {
        super({ ...options, url: server.urls.bus });
        used = this;
      }
    }
    const log = (...parts: unknown[]): never => {
      lines.push(parts);
      throw stopped;
    };
    const body = (examples[0] ?? '').replace(/^import.*\n/gm, '').replace(/<\{.*?\}>/g, '');
    const run = new Function('ArqonBusClient', 'console', `return (async () => {${body}})()`) as (
      ...given: unknown[]
    ) => Promise<void>;
    await expect(run(Observed, { log })).rejects.toBe(stopped);
    expect(lines).toEqual([[used?.id, 'Hello, bus!']]);
    await used?.close();
    await server.stop();
  });
});
