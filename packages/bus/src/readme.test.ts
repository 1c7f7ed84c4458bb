import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../test/fixtures/free-port.ts';
import { ask } from '../../../test/fixtures/http.ts';
import { blocksOf } from '../../../test/fixtures/markdown.ts';
import { Peer } from '../../../test/fixtures/peer.ts';
import { DEFAULT_OPTIONS } from './options.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const readme = readFileSync(here('../README.md'), 'utf8');
const blocks = blocksOf('packages/bus/README.md').filter(({ language }) => language === 'ts');
const servers = blocks.filter(({ code }) => code.includes('3000'));
const programs = blocks.filter(({ code }) => !code.includes('3000'));

const scratch = mkdtempSync(join(tmpdir(), 'arqonbus-readme-'));
mkdirSync(join(scratch, 'run'));
symlinkSync(here('../../../node_modules'), join(scratch, 'node_modules'));
writeFileSync(join(scratch, 'package.json'), '{"type":"module"}');
afterAll(() => rmSync(scratch, { recursive: true }));

function write(name: string, code: string): string {
  const file = join(scratch, `${name}.ts`);
  writeFileSync(file, `${code}\nexport {};\n`);
  return file;
}

const node = (file: string): string[] => ['--import', import.meta.resolve('tsx'), file];

describe('the README', () => {
  it('has examples that the compiler accepts', async () => {
    expect(blocks.length).toBeGreaterThan(6);
    for (const { code, line } of blocks) write(`line_${line}`, code);
    const compilerOptions = {
      ...{ target: 'ES2022', module: 'NodeNext', strict: true, noEmit: true, types: ['node'], skipLibCheck: true },
      ...{ lib: ['ES2023', 'DOM'], noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
    };
    writeFileSync(join(scratch, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['line_*.ts'] }));
    const compiler = here('../../../node_modules/typescript/bin/tsc');
    const { stdout } = await promisify(execFile)(process.execPath, [compiler, '-p', scratch]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  });

  it.each(servers)('serves pages and a bus on one port (line $line)', async ({ code, line }) => {
    const port = await freePort();
    const ready = "\nconsole.log('ready');";
    const file = write(`serve_${line}`, code.replace('3000', `${port}`) + ready);
    const child = spawn(process.execPath, node(file), { cwd: join(scratch, 'run') });
    try {
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
          child.emit('output');
        });
      }
      const ended = once(child, 'close').then(() => Promise.reject(new Error(`it ended:\n${output}`)));
      ended.catch(() => {});
      while (!output.includes('ready')) await Promise.race([once(child, 'output'), ended]);
      const peer = await Peer.connect(`ws://127.0.0.1:${port}/bus`, { room: 'site' });
      expect((await ask(`http://127.0.0.1:${port}/`)).text).toBe('a page\n');
      if (code.includes("'site:visits'")) expect((await peer.message()).payload).toEqual({ path: '/' });
      if (line === servers[0]?.line) expect(output).toBe('created { id: 7 }\nstored as number 1\nready\n');
      await peer.close();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it.each(programs)('has programs that end by themselves or could go on (line $line)', async ({ code, line }) => {
    const file = write(`program_${line}`, code);
    const { stdout } = await promisify(execFile)(process.execPath, node(file), { cwd: join(scratch, 'run') });
    expect(stdout).toBe(code.includes('// disk') ? 'disk\n' : '');
  });

  it('lists every limit with its default', () => {
    for (const [name, value] of Object.entries(DEFAULT_OPTIONS)) {
      const [, given = ''] = new RegExp(`^\\| \`${name}\` \\| (.*?) \\|`, 'm').exec(readme) ?? [];
      expect(given, name).not.toBe('');
      if (typeof value === 'number') expect(given, name).toBe(value.toLocaleString('en-US'));
      if (typeof value === 'boolean' || value === null) expect(given, name).toBe(`\`${value}\``);
    }
    const { size, ttlMs, bytes = 0 } = DEFAULT_OPTIONS.retention;
    for (const number of [size, ttlMs, bytes]) expect(readme).toContain(number.toLocaleString('en-US'));
  });
});
