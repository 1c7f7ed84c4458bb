import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Block, blocksOf } from './fixtures/markdown.ts';
import { layOut, remove, root, run } from './fixtures/packed.ts';
import { findPython } from './fixtures/python.ts';
import { Walkthrough } from './fixtures/walkthrough.ts';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
const scratch = mkdtempSync(join(tmpdir(), 'arqonbus-first-screen-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const PYTHON = findPython(scratch, 'the Python of the README is');

function required(found: boolean, what: string, leftOut: string): boolean {
  if (!found && process.env.CI === 'true') throw new Error(`${what} is missing, and CI must test what needs it.`);
  if (!found) console.warn(`*** ${what} is missing: ${leftOut} LEFT OUT. ***`);
  return found;
}

/** The list in a page of a folder, once it has this many items. */
async function readPage(folder: string, name: string, items: number): Promise<string[]> {
  const pages = createServer(async (_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(await readFile(join(folder, name)));
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
    await page.waitForFunction((count) => document.querySelectorAll('li').length >= count, items, { timeout: 30_000 });
    return await page.evaluate(() => [...document.querySelectorAll('li')].map(({ textContent }) => textContent ?? ''));
  } finally {
    await browser.close();
    await new Promise((resolve) => pages.close(resolve));
  }
}

function shell(code: string, terminal: string | null = null): Block {
  return { language: 'sh', code, line: 0, skip: null, file: null, terminal };
}

function shown(code: string, terminal: string): Block {
  return { ...shell(code, terminal), language: 'text' };
}

describe('the first screen of the README', () => {
  it('talks from two terminals, a page, Node.js, Python and curl, copied as it is', async () => {
    const walk = await Walkthrough.begin(PYTHON, { realNpx: true });
    try {
      await walk.follow(shell('npx arqon serve', 'bus'));
      await walk.follow(shown('storage memory', 'bus'));
      for (const block of blocksOf('README.md').slice(2)) {
        await walk.follow(block);
        // What the next one says is heard only by those who listen already.
        if (block.terminal === 'listener') await walk.follow(shown('connected as arq_client_…', 'listener'));
        if (block.terminal === 'curl') await walk.follow(shown('"request_id":"arq_join_0"', 'curl'));
      }
      await walk.follow(shown('{"text":"hello"}', 'listener'));
      if (required(existsSync(CHROMIUM), CHROMIUM, 'the page of the README')) {
        const said = await readPage(walk.folder, 'page.html', 1);
        expect(said).toContain('hello');
        await walk.follow(shown('hello from a page', 'listener'));
      }
      await walk.follow(shell('node hello.mjs | grep hello'));
      await walk.follow(shown('hello from Node.js', 'listener'));
      if (PYTHON !== null) {
        await walk.follow(shell('python3 hello.py | grep "hello from Node.js"'));
        await walk.follow(shown('hello from Python', 'listener'));
      }
      await walk.follow(shown('hello from Node.js', 'curl'));
    } finally {
      await walk.end();
    }
  }, 120_000);
});

describe('npm run package', () => {
  let folder: string;
  let home: string;
  let printed: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-package-'));
    printed = (await run(process.execPath, [join(root, 'scripts/package.mjs'), folder])).stdout;
    home = join(folder, 'elsewhere');
    await mkdir(home);
    const names = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    const tarballs = names.map((name) => ({
      name: `@arqonbus/${/^arqonbus-(\w+)-/.exec(name)?.[1]}`,
      path: join(folder, name),
      files: [],
    }));
    await layOut(home, tarballs);
  }, 120_000);
  afterAll(() => remove(folder));

  it('writes every package, and one line that installs them', async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.tgz')).sort();
    const workspaces = ['bus', 'casil', 'client', 'mcp', 'protocol', 'server'];
    expect(names).toEqual(workspaces.map((name) => `arqonbus-${name}-0.1.0.tgz`));
    const [line = ''] = /^ {2}npm install .*$/m.exec(printed) ?? [];
    for (const name of names) expect(line).toContain(join(folder, name));
  });

  it('what it wrote is used by CommonJS', async () => {
    const program = `
      const { ArqonBusClient } = require('@arqonbus/client');
      const { FakeServer } = require('@arqonbus/client/testing');
      const { createBus } = require('@arqonbus/bus');
      (async () => {
        const client = new ArqonBusClient(new FakeServer().options);
        await client.connect();
        const bus = await createBus();
        const { sequence } = await bus.publish('a:b', {});
        console.log(client.state, sequence);
        await bus.close();
        await client.close();
      })();
    `;
    await writeFile(join(home, 'program.cjs'), program);
    expect((await run(process.execPath, ['program.cjs'], { cwd: home })).stdout).toBe('open 1\n');
  });

  it.skipIf(!required(existsSync(CHROMIUM), CHROMIUM, 'a page with the packed client'))(
    'what it wrote serves the client to a plain page',
    async () => {
      const program = `
        import { startServer } from '@arqonbus/server';
        import { loadConfig } from '@arqonbus/server/config';
        const env = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_HTTP_PORT: '0', ARQONBUS_TELEMETRY_PORT: 'off' };
        const { addresses } = await startServer(loadConfig({ env }).config);
        console.log(JSON.stringify(addresses));
      `;
      await writeFile(join(home, 'serve.mjs'), program);
      const { spawn } = await import('node:child_process');
      const server = spawn(process.execPath, ['serve.mjs'], { cwd: home, stdio: ['ignore', 'pipe', 'ignore'] });
      try {
        let text = '';
        for await (const chunk of server.stdout) {
          text += chunk;
          if (text.includes('\n')) break;
        }
        const { bus, http } = JSON.parse(text.slice(text.indexOf('{"bus"')));
        const page = blocksOf('README.md').find(({ file }) => file === 'page.html')?.code ?? '';
        const here = page
          .replace('127.0.0.1:8080', `127.0.0.1:${http.port}`)
          .replace('127.0.0.1:9100', `127.0.0.1:${bus.port}`);
        await writeFile(join(home, 'page.html'), here.replace('history: 10,', 'history: 10, echo: true,'));
        expect(await readPage(home, 'page.html', 1)).toEqual(['hello from a page']);
      } finally {
        server.kill();
      }
    },
    120_000,
  );

  it.skipIf(process.env.CI !== 'true')(
    'installs by the line that it printed, Python too',
    async () => {
      const fresh = join(folder, 'fresh');
      await mkdir(fresh);
      await writeFile(join(fresh, 'package.json'), '{"private":true}');
      const [install = ''] = /^ {2}npm install .*$/m.exec(printed) ?? [];
      execFileSync('sh', ['-c', `${install} --no-audit --no-fund`], { cwd: fresh, stdio: 'pipe' });
      execFileSync('npx', ['arqon', '--version'], { cwd: fresh, stdio: 'pipe' });
      const [pip = ''] = /^ {2}pip install .*$/m.exec(printed) ?? [];
      execFileSync('python3', ['-m', 'venv', 'venv'], { cwd: fresh });
      execFileSync('sh', ['-c', `venv/bin/${pip.trim()}`], { cwd: fresh, stdio: 'pipe' });
      const imported = 'from arqonbus import ArqonBusClient; print(ArqonBusClient.__name__)';
      expect(execFileSync(join(fresh, 'venv/bin/python3'), ['-c', imported]).toString()).toBe('ArqonBusClient\n');
    },
    240_000,
  );
});
