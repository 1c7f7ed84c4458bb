import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryMountTmpfs } from '../../../packages/bus/src/engine/sqlite/tmpfs.suite.ts';
import { freePort } from '../../fixtures/free-port.ts';
import { hasRedis, PrivateRedis } from '../../fixtures/private-redis.ts';

const PROGRAM = fileURLToPath(new URL('../../../packages/server/bin/arqon.js', import.meta.url));
const PORTS = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_HTTP_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0' };

interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `arqon serve` to its end; one that starts after all is told to stop. */
async function serve(settings: Readonly<Record<string, string>>): Promise<Ending> {
  const child = spawn(process.execPath, [PROGRAM, 'serve'], {
    env: { ...process.env, ...PORTS, ARQONBUS_STORAGE_MODE: 'strict', ...settings },
  });
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
    child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

/** It ended with one line that tells why and nothing else: no stack, no banner. */
function expectRefusal(ending: Ending, sentence: RegExp): void {
  expect(ending).toMatchObject({ code: 1, stdout: '' });
  expect(JSON.parse(ending.stderr)).toEqual({
    level: 'fatal',
    time: expect.any(String),
    msg: expect.stringMatching(sentence),
  });
}

/** It ended with one line about the configuration, and exit code 2. */
function expectFault(ending: Ending, sentence: RegExp): void {
  expect(ending).toMatchObject({ code: 2, stdout: '' });
  expect(JSON.parse(ending.stderr)).toEqual({
    level: 'fatal',
    time: expect.any(String),
    msg: 'the configuration has faults:',
    details: [expect.stringMatching(sentence)],
  });
}

const sqlite = (path: string): Record<string, string> => ({
  ARQONBUS_STORAGE_BACKEND: 'sqlite',
  ARQONBUS_SQLITE_PATH: path,
});

describe('arqon serve with a SQLite file that it cannot use', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-bad-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('names a directory that does not exist', async () => {
    expectRefusal(await serve(sqlite(join(folder, 'missing', 'bus.db'))), /cannot be opened: its directory must exist/);
  });

  it('refuses a file that is no database', async () => {
    const path = join(folder, 'letter.txt');
    await writeFile(path, 'Dear Sir or Madam, '.repeat(1_000));
    expectRefusal(await serve(sqlite(path)), /letter\.txt is not a SQLite database/);
  });

  it('refuses a database of a newer schema, and leaves it as it is', async () => {
    const path = join(folder, 'newer.db');
    expect((await serve(sqlite(path))).code).toBe(0);
    const database = new Database(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expectRefusal(await serve(sqlite(path)), /newer/i);
    const again = new Database(path, { readonly: true });
    expect(again.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: 99 });
    again.close();
  });

  it('says when the file may only be read, and when its disk is full', async ({ skip }) => {
    const disk = tryMountTmpfs(folder, '2m');
    if (disk === null) return skip('no tmpfs can be mounted here');
    try {
      const path = join(disk.directory, 'bus.db');
      expect((await serve(sqlite(path))).code).toBe(0);
      execFileSync('mount', ['-o', 'remount,ro', disk.directory]);
      expectRefusal(await serve(sqlite(path)), /read-only|cannot be opened/);
      execFileSync('mount', ['-o', 'remount,rw', disk.directory]);
      await writeFile(join(disk.directory, 'ballast'), Buffer.alloc(4_194_304)).catch(() => {});
      expectRefusal(await serve(sqlite(path)), /cannot grow: its disk or its quota is full/);
    } finally {
      disk.unmount();
    }
  });
});

describe.skipIf(!hasRedis())('arqon serve with a Redis that it cannot use', () => {
  const PASSWORD = 'a-secret-of-this-test';
  let redis: PrivateRedis;

  beforeAll(async () => {
    redis = await PrivateRedis.start({
      password: PASSWORD,
      settings: ['--requirepass', PASSWORD, '--maxmemory-policy', 'allkeys-lru'],
    });
  });
  afterAll(() => redis.stop());

  const at = (url: string): Record<string, string> => ({ ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: url });

  it('refuses a URL that is none of Redis as the faulty configuration that it is', async () => {
    expectFault(await serve(at('http://127.0.0.1:6379')), /ARQONBUS_REDIS_URL.*redis:\/\//);
  });

  it('names the setting that is missing', async () => {
    expectFault(await serve({ ARQONBUS_STORAGE_BACKEND: 'redis' }), /ARQONBUS_REDIS_URL/);
  });

  it('says where nothing listens', async () => {
    const port = await freePort();
    expectRefusal(
      await serve(at(`redis://127.0.0.1:${port}`)),
      new RegExp(`Nothing listens at redis://127.0.0.1:${port}`),
    );
  });

  it('says that a password is wrong or missing, without printing one', async () => {
    const wrong = await serve(at(`redis://:not-${PASSWORD}@127.0.0.1:${redis.port}`));
    expectRefusal(wrong, /refused the user name or password/);
    expect(wrong.stderr).not.toContain(PASSWORD);
    expectRefusal(await serve(at(`redis://127.0.0.1:${redis.port}`)), /asks for a password/);
  });

  it('starts on one that evicts keys, and warns', async () => {
    const { code, stdout, stderr } = await serve(at(redis.url()));
    expect(code).toBe(0);
    expect(stdout).toContain('ArqonBus');
    expect(stderr).toContain('maxmemory-policy is \\"allkeys-lru\\"');
    expect(stderr).not.toContain(PASSWORD);
  });
});
