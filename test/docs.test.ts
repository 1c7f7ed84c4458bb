import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseRules } from '../packages/bus/src/rules/rule.ts';
import { blocksOf, linksOf } from './fixtures/markdown.ts';
import { findPython } from './fixtures/python.ts';
import { Walkthrough } from './fixtures/walkthrough.ts';

const here = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Pages whose every command is run, in order. */
const WALKED = [
  'docs/quickstart.md',
  'docs/tutorial.md',
  'docs/hooks.md',
  'docs/access.md',
  'docs/migrating/pusher.md',
  'docs/migrating/mqtt.md',
];
/** The page whose programs npx itself starts. */
const WITH_NPX = 'docs/hooks.md';
/** Pages whose code is compiled, but leads nowhere by itself. */
const READ = [
  'docs/troubleshooting.md',
  'docs/rules.md',
  'docs/sdk.md',
  'docs/sdk-typescript.md',
  'docs/sdk-python.md',
  'docs/delivery.md',
  'docs/deployment.md',
  'docs/scaling.md',
  'docs/embedding.md',
  'docs/glossary.md',
  'docs/migrating/socket.io.md',
  'docs/migrating/arqonbus-python.md',
  'packages/protocol/README.md',
  'packages/casil/README.md',
  'packages/server/README.md',
  'packages/bus/README.md',
];
const PAGES = [...WALKED, ...READ, 'examples/README.md'];

const scratch = mkdtempSync(join(tmpdir(), 'arqonbus-docs-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The folder of a Python that has the client's one dependency, or null. */
const python = findPython(scratch, 'Python in the documents is');

describe.concurrent.each(WALKED)('%s', (page) => {
  it('does what it promises, from the first command to the last', async () => {
    const walk = await Walkthrough.begin(python, { realNpx: page === WITH_NPX });
    try {
      let leftOut = false;
      for (const block of blocksOf(page)) {
        const isPython = block.language === 'sh' && /^python3 /m.test(block.code);
        // What Python would have printed goes with it.
        leftOut = python === null && (isPython || (leftOut && block.language === 'text' && block.terminal === null));
        if (leftOut) continue;
        await walk.follow(block).catch((error: unknown) => {
          throw new Error(`${page}:${block.line}: ${error instanceof Error ? error.message : String(error)}`);
        });
      }
    } finally {
      await walk.end();
    }
  }, 400_000);
});

describe('the documents', () => {
  it('name files in the glossary that are there', () => {
    const files = [...readFileSync(here('docs/glossary.md'), 'utf8').matchAll(/\| `([\w./-]+\.ts)` \|$/gm)];
    expect(files.length).toBeGreaterThan(24);
    for (const [, file = ''] of files) {
      expect(existsSync(here(file.startsWith('packages/') ? file : `packages/bus/src/${file}`)), file).toBe(true);
    }
  });

  it('hold TypeScript that the compiler accepts', () => {
    const folder = join(scratch, 'ts');
    execFileSync('mkdir', ['-p', folder]);
    symlinkSync(here('node_modules'), join(folder, 'node_modules'));
    let count = 0;
    for (const page of PAGES) {
      for (const { language, code, line } of blocksOf(page)) {
        if (language !== 'ts') continue;
        count += 1;
        // A fragment speaks of the client that its page has connected before.
        const given = /\bconst client\b/.test(code)
          ? ''
          : 'declare const client: import("@arqonbus/client").ArqonBusClient;\n';
        writeFileSync(join(folder, `${page.replaceAll(/\W/g, '_')}_${line}.ts`), `${given}${code}\nexport {};\n`);
      }
    }
    expect(count).toBeGreaterThan(8);
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const compilerOptions = {
      ...{ target: 'ES2022', module: 'NodeNext', strict: true, noEmit: true, types: ['node'], skipLibCheck: true },
      ...{ lib: ['ES2023', 'DOM'], noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    try {
      const compiler = here('node_modules/typescript/bin/tsc');
      execFileSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      throw new Error((error as { stdout?: string }).stdout || String(error));
    }
  });

  it('hold rules that the bus takes', () => {
    const rules = PAGES.flatMap((page) => blocksOf(page))
      .filter(({ language, code }) => language === 'yaml' && /^rules:$/m.test(code))
      .map(({ code }) => parseRules(parse(code).rules));
    expect(rules.length).toBeGreaterThan(1);
  });

  it.skipIf(python === null)('hold Python that compiles', () => {
    for (const page of PAGES) {
      for (const { language, code, line } of blocksOf(page)) {
        if (language !== 'py') continue;
        const check = 'import sys, ast; ast.parse(sys.stdin.read(), sys.argv[1])';
        execFileSync(join(python ?? '', 'python3'), ['-c', check, `${page}:${line}`], { input: code });
      }
    }
  });

  it.each(PAGES)('%s links to what is there', (page) => {
    for (const { path, fragment } of linksOf(page)) {
      expect(existsSync(path), path).toBe(true);
      if (fragment !== '') expect(headingsOf(path), `${path}#${fragment}`).toContain(fragment);
    }
  });
});

/** Anchors of the headings of a page, as they are made for readers. */
function headingsOf(path: string): readonly string[] {
  return [...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
