import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { versionOf } from '../scripts/go-tools.ts';

const SCRIPT = fileURLToPath(new URL('../scripts/go-tools.ts', import.meta.url));
const caches = mkdtempSync(join(tmpdir(), 'arqonbus-tools-'));
afterAll(() => rmSync(caches, { recursive: true }));

/** Runs the script with a cache of its own, on a machine without Go. */
function tools(...names: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { PATH: caches, HOME: caches, XDG_CACHE_HOME: caches };
    execFile(process.execPath, ['--import', 'tsx', SCRIPT, ...names], { env }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

it('names the tools that it knows, when asked for others or for none', async () => {
  expect(await tools('kubectl')).toMatchObject({
    code: 1,
    stderr: 'There is no tool kubectl; known: helm, nats-server, centrifugo.\n',
  });
  expect(await tools()).toMatchObject({
    code: 1,
    stderr: 'Name the tools to build; known: helm, nats-server, centrifugo.\n',
  });
});

it('leaves out loudly what it cannot build, and finds what was built before', async () => {
  const folder = join(caches, 'arqonbus', 'tools');
  mkdirSync(folder, { recursive: true });
  const built = join(folder, `centrifugo-${versionOf('centrifugo')}`);
  writeFileSync(built, '');
  chmodSync(built, 0o755);
  expect(await tools('helm', 'centrifugo')).toEqual({
    code: 0,
    stdout: `centrifugo: ${built}\n`,
    stderr: '*** There is no Go to build helm with: whatever needs it is LEFT OUT. ***\n',
  });
});
