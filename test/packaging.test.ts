import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layOut, packAll, remove, root, run, serveOnce, type Tarball } from './fixtures/packed.ts';

const NAMES = ['protocol', 'client', 'casil', 'bus', 'server'];
/** What a package holds beside the code that it was built into. */
const OTHERS = ['LICENSE', 'README.md', 'package.json', 'bin/arqon.js'];
/** What a build makes; the server's has the files of the dashboard too. */
const BUILT = /^dist\/(?:[\w/-]+((\.d)?\.(js|ts)|\.lua|\.sql)|dashboard\/(?:index\.html|assets\/[\w-]+\.(?:js|css)))$/;

let folder: string;
let tarballs: readonly Tarball[];

beforeAll(async () => {
  ({ folder, tarballs } = await packAll());
}, 120_000);
afterAll(() => remove(folder));

function tarball(name: string): Tarball {
  const found = tarballs.find((one) => one.name === `@arqonbus/${name}`);
  if (found === undefined) throw new Error(`${name} was not packed`);
  return found;
}

describe.each(NAMES)('@arqonbus/%s, packed', (name) => {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));

  it('holds its build, its license and its README, and nothing else', () => {
    const { files } = tarball(name);
    const strangers = files.filter((file) => !OTHERS.includes(file) && !BUILT.test(file));
    expect(strangers).toEqual([]);
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    expect(files.filter((file) => /\.(test|suite)\.|^src\//.test(file))).toEqual([]);
  });

  it('has every file that its manifest names', () => {
    const { files } = tarball(name);
    const named = [
      ...JSON.stringify([manifest.exports, manifest.imports, manifest.bin]).matchAll(/"(?:\.\/)?([\w/.-]+\.\w+)"/g),
    ];
    expect(named.length).toBeGreaterThan(2);
    for (const [, path = ''] of named.filter(([, path]) => path !== 'package.json')) expect(files).toContain(path);
  });

  it('carries the license of the repository', () => {
    expect(readFileSync(join(root, 'packages', name, 'LICENSE'), 'utf8')).toBe(
      readFileSync(join(root, 'LICENSE'), 'utf8'),
    );
  });

  it('has no fault that publint knows', async () => {
    const { publint } = await import('publint');
    const { messages } = await publint({ pkgDir: join(root, 'packages', name), strict: true, pack: false });
    expect(messages).toEqual([]);
  });

  it('has types that resolve however it is imported', async () => {
    const attw = join(root, 'node_modules/.bin/attw');
    const { stdout } = await run(attw, [
      tarball(name).path,
      '--profile',
      'esm-only',
      '--format',
      'ascii',
      '--no-color',
    ]);
    expect(stdout).toContain(`@arqonbus/${name} v${manifest.version}`);
  }, 120_000);
});

describe('installed', () => {
  let home: string;

  beforeAll(async () => {
    home = join(folder, 'installed');
    await mkdir(home);
    await layOut(home, tarballs);
  }, 120_000);

  it.each([
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])('types are found with module %s and resolution %s', async (module, moduleResolution) => {
    const program = `
      import { ArqonBusClient, type Message } from '@arqonbus/client';
      import { FakeServer } from '@arqonbus/client/testing';
      import { type Envelope, ERRORS } from '@arqonbus/protocol';
      import { startServer } from '@arqonbus/server';
      import { loadConfig } from '@arqonbus/server/config';
      export const client: ArqonBusClient = new ArqonBusClient({ ...new FakeServer().options });
      export const text: Promise<string> = client.subscribe<{ text: string }>('a:b').then(async (all) => (await all.next()).payload.text);
      export const envelope = (message: Message): Envelope => message.envelope;
      export const status: number = ERRORS.NO_ROUTE.status;
      const loaded = loadConfig({});
      if (loaded.ok) export_(await startServer(loaded.config));
      function export_(_: { addresses: { bus: { port: number } } }): void {}
      // @ts-expect-error: there is no such option; types that are found are more than "any"
      new ArqonBusClient({ url: 'ws://127.0.0.1', nonsense: true });
    `;
    const project = join(home, moduleResolution);
    await mkdir(project);
    await writeFile(join(project, 'program.ts'), program);
    const compilerOptions = { module, moduleResolution, target: 'ES2022', strict: true, noEmit: true, types: ['node'] };
    const lib = ['ES2023', 'DOM', 'ESNext.Disposable'];
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, lib, skipLibCheck: true }, include: ['program.ts'] }),
    );
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = await run(process.execPath, [compiler, '-p', project]).catch((error) => error);
    expect(stdout).toBe('');
  });

  it('the packed server starts with npx, and stops', async () => {
    expect(await serveOnce(home)).toEqual({ version: '0.1.0', isGone: true });
  }, 120_000);

  it.skipIf(process.env.CI !== 'true')(
    'npm installs the tarballs on a machine without the repository',
    async () => {
      const fresh = join(folder, 'fresh');
      await mkdir(fresh);
      await writeFile(join(fresh, 'package.json'), '{"private":true}');
      await run('npm', ['install', '--no-audit', '--no-fund', ...tarballs.map(({ path }) => path)], { cwd: fresh });
      // Of one package there is one copy, and it is the packed one.
      expect(existsSync(join(fresh, 'node_modules/@arqonbus/server/node_modules/@arqonbus'))).toBe(false);
      expect(await serveOnce(fresh)).toEqual({ version: '0.1.0', isGone: true });
    },
    180_000,
  );
});
