import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { loadEngine } from '@arqonbus/bus';
import { openDraft } from '@arqonbus/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer } from '../../fixtures/start.ts';
import { Arqon } from './arqon.ts';

const SECRET = 'a secret of tests, which is long enough for anyone';

let arqon: Arqon;

beforeEach(() => {
  arqon = new Arqon();
});
afterEach(() => arqon.stop());

function file(name: string, text: string): string {
  writeFileSync(join(arqon.folder, name), text);
  return name;
}

describe('arqon token', () => {
  it('makes a token of the configured secret, and reads it back', async () => {
    const env = { ARQONBUS_AUTH_JWT_SECRET: SECRET };
    const claims = [
      '--sub',
      'alice',
      '--role',
      'user',
      '--tenant',
      't1',
      '--publish',
      'lab:*,x:*',
      '--subscribe',
      'lab:*',
    ];
    const made = await arqon.run(['token', ...claims, '--expires', '1h'], { env });
    expect([made.code, made.stderr]).toEqual([0, '']);
    const read = await arqon.run(['token', 'inspect', '-'], { env, input: made.stdout });
    const { header, claims: found, accepted, times } = JSON.parse(read.stdout);
    expect(header.alg).toBe('HS256');
    expect(found).toMatchObject({ sub: 'alice', role: 'user', tenant_id: 't1', publish: ['lab:*', 'x:*'] });
    expect(found.exp - found.iat).toBe(3600);
    expect(Date.parse(times.exp)).toBe(found.exp * 1000);
    expect(accepted).toBe(true);
    const stranger = await arqon.run(['token', 'inspect', made.stdout.trim(), '--secret', `${SECRET}!`]);
    expect(stranger.code).toBe(1);
    expect(JSON.parse(stranger.stdout)).toMatchObject({ accepted: false, reason: 'invalid token' });
    expect(JSON.parse((await arqon.run(['token', 'inspect', made.stdout.trim()])).stdout).accepted).toBeNull();
    for (const { stdout, stderr } of [made, read, stranger]) expect(stdout + stderr).not.toContain(SECRET);
  });

  it('lists grants by their action', async () => {
    const env = { ARQONBUS_AUTH_JWT_SECRET: SECRET };
    const grants = ['store_read=desk/*,home/*', 'store_write=desk/*', 'store_read=yard/*'];
    const made = await arqon.run(['token', '--durable', ...grants.flatMap((one) => ['--grant', one])], { env });
    const { claims } = JSON.parse((await arqon.run(['token', 'inspect', made.stdout.trim()], { env })).stdout);
    expect(claims.grants).toEqual({ store_read: ['desk/*', 'home/*', 'yard/*'], store_write: ['desk/*'] });
    expect(claims.durable).toBe(true);
    for (const [one, told] of [
      ['desk/*', 'ACTION=GLOBS'],
      ['fly=desk/*', 'must list publish, subscribe'],
    ] as const) {
      const refused = await arqon.run(['token', '--grant', one], { env });
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(told)]);
    }
  });

  it('opens a bus with what it made', async () => {
    const server = await startTestServer({ ARQONBUS_ENABLE_AUTH: 'true', ARQONBUS_AUTH_JWT_SECRET: SECRET });
    try {
      const { token } = await arqon.json([
        'token',
        '--sub',
        'a',
        '--role',
        'admin',
        '--secret-file',
        file('s', SECRET),
        '--json',
      ]);
      const { code } = await arqon.run(['rooms', '--ws-url', server.urls.bus, '--jwt', token]);
      expect(code).toBe(0);
    } finally {
      await server.stop();
    }
  });

  it('signs with a private key', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const key = file('key.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const env = {
      ARQONBUS_AUTH_JWT_ALGORITHM: 'EdDSA',
      ARQONBUS_AUTH_PUBLIC_KEY_FILE: file('public.pem', publicKey.export({ type: 'spki', format: 'pem' }).toString()),
    };
    const { stdout } = await arqon.run(['token', 'mint', '--sub', 'ops', '--key', key, '--algorithm', 'EdDSA']);
    expect(JSON.parse((await arqon.run(['token', 'inspect', stdout.trim()], { env })).stdout).accepted).toBe(true);
  });

  it('refuses with 2 what no server would accept', async () => {
    const secret = ['--secret', SECRET];
    const wrong = [
      [],
      [...secret, '--role', 'king'],
      [...secret, '--expires', 'soon'],
      [...secret, '--expires', '0'],
      [...secret, '--publish', 'no colon'],
      ['--secret-file', 'missing'],
      ['--key', file('no.pem', SECRET), '--algorithm', 'RS256'],
      ['inspect', 'nonsense'],
    ];
    for (const args of wrong) {
      const { code, stdout, stderr } = await arqon.run(['token', ...args]);
      expect([args, code, stdout]).toEqual([args, 2, '']);
      expect(stderr).not.toContain(SECRET);
    }
    const { stderr } = await arqon.run(['token', ...secret, '--publish', 'no colon']);
    expect(stderr).toMatch(/^arqon: --publish must be a list .*characters\.\n$/);
  });
});

describe('arqon config', () => {
  it('shows every setting with its source, and no secret', async () => {
    file('arqonbus.config.yaml', `server:\n  port: 9200\nauth:\n  enabled: true\n  jwtSecret: "${SECRET}"\n`);
    const env = { ARQONBUS_LOG_LEVEL: 'debug', ARQONBUS_REDIS_URL: 'redis://user:hunter2@db' };
    const { code, stdout } = await arqon.run(['config', 'show', '--host', '::1', '--json'], { env });
    expect(code).toBe(0);
    expect(stdout).not.toContain(SECRET);
    expect(stdout).not.toContain('hunter2');
    const settings = new Map(
      (JSON.parse(stdout).settings as { setting: string; value: unknown; source: { from: string } }[]).map((each) => [
        each.setting,
        [each.value, each.source.from],
      ]),
    );
    expect(settings.get('server.port')).toEqual([9200, 'file']);
    expect(settings.get('server.host')).toEqual(['::1', 'flag']);
    expect(settings.get('log.level')).toEqual(['debug', 'env']);
    expect(settings.get('http.port')).toEqual([8080, 'default']);
    expect(settings.get('auth.jwtSecret')).toEqual(['***', 'file']);
    const text = await arqon.run(['config', 'show'], { env });
    expect(text.stdout).toMatch(/^server\.port\t9200\tserver\.port in arqonbus\.config\.yaml$/m);
    expect(text.stdout).not.toContain(SECRET);
  });

  it('checks: 0, or 2 with every fault', async () => {
    expect((await arqon.run(['config', 'check'])).code).toBe(0);
    expect(await arqon.json(['config', 'check', '--json'])).toEqual({ ok: true, faults: [], warnings: [] });
    const env = { ARQONBUS_SERVER_PORT: 'x', ARQONBUS_LOG_LEVEL: 'loud', ARQONBUS_SERVER_HOTS: '::' };
    const faulty = await arqon.run(['config', 'check'], { env });
    expect([faulty.code, faulty.stdout]).toEqual([2, '']);
    for (const name of ['ARQONBUS_SERVER_PORT', 'ARQONBUS_LOG_LEVEL', 'ARQONBUS_SERVER_HOST']) {
      expect(faulty.stderr).toContain(name);
    }
    const json = await arqon.run(['config', 'check', '--json'], { env });
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false });
    expect(JSON.parse(json.stdout).faults).toHaveLength(2);
  });

  it('prints the reference of settings', async () => {
    expect((await arqon.run(['config', 'docs'])).stdout).toMatch(/^# Configuration\n/);
  });
});

describe('arqon casil check', () => {
  const key = `AKIA${'QRSTUVWXYZ234567'}`;

  it('explains the outcome rule by rule, and exits 1 when it would be blocked', async () => {
    const policy = file('policy.yaml', 'mode: enforce\nblock_on_probable_secret: true\nscope_include: [payments]\n');
    const payload = file('payload.json', JSON.stringify({ note: key, password: 'swordfish' }));
    const args = ['casil', 'check', payload, '--policy', policy];
    const blocked = await arqon.run([...args, '--room', 'payments', '--json']);
    expect(blocked.code).toBe(1);
    const found = JSON.parse(blocked.stdout);
    expect(found.enforced).toEqual({ decision: 'BLOCK', reasonCode: 'CASIL_POLICY_BLOCKED_SECRET' });
    expect(found.matches).toContainEqual(expect.objectContaining({ rule: 'secret:aws_access_key_id', path: '$.note' }));
    const elsewhere = await arqon.run([...args, '--room', 'lounge']);
    expect(elsewhere.code).toBe(0);
    expect(elsewhere.stdout).toContain('out of scope');
  });

  it('takes the policy of the configuration, and a payload from standard input', async () => {
    const env = {
      ARQONBUS_CASIL_ENABLED: 'true',
      ARQONBUS_CASIL_MODE: 'enforce',
      ARQONBUS_CASIL_TRANSPORT_REDACTION: 'true',
    };
    const { code, stdout } = await arqon.run(['casil', 'check'], { env, input: '{"password":"swordfish","n":1}' });
    expect(code).toBe(0);
    expect(stdout).toContain('path:password at $.password');
    expect(stdout).toMatch(/^outcome +ALLOW_WITH_REDACTION/m);
    expect(stdout).not.toContain('swordfish');
  });

  it('refuses what is malformed with 2, listing all faults', async () => {
    const policy = file('bad.yaml', 'mode: loud\nredaction_patterns: ["("]\nnonsense: 1\n');
    const { code, stderr } = await arqon.run(['casil', 'check', '--policy', policy], { input: '{}' });
    expect(code).toBe(2);
    for (const name of ['mode', 'redaction_patterns', 'nonsense']) expect(stderr).toContain(name);
    expect((await arqon.run(['casil', 'check'], { input: 'x' })).code).toBe(2);
    expect((await arqon.run(['casil', 'check', 'no-such-file'])).code).toBe(2);
  });
});

describe('arqon doctor', () => {
  const ports = (urls: { bus: string; telemetry: string; http: string }): Record<string, string> => ({
    ARQONBUS_SERVER_PORT: new URL(urls.bus).port,
    ARQONBUS_TELEMETRY_PORT: new URL(urls.telemetry).port,
    ARQONBUS_HTTP_PORT: new URL(urls.http).port,
  });

  it('recognizes a bus that runs, and tells free ports from taken ones', async () => {
    const server = await startTestServer();
    const stranger = createServer((_request, response) => response.end('hello'));
    stranger.listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    try {
      const env = ports(server.urls);
      const healthy = await arqon.run(['doctor', '--json'], { env });
      expect(healthy.code).toBe(0);
      const { findings } = JSON.parse(healthy.stdout) as { findings: { check: string; outcome: string }[] };
      for (const check of ['node', 'configuration', 'port bus', 'port telemetry', 'port http', 'version', 'clock']) {
        expect(findings).toContainEqual(expect.objectContaining({ check, outcome: 'ok' }));
      }
      const taken = String((stranger.address() as AddressInfo).port);
      for (const flag of ['--port', '--telemetry-port', '--http-port']) {
        const { code, stdout } = await arqon.run(['doctor', flag, taken], { env });
        expect(code).toBe(1);
        expect(stdout).toMatch(/^fail .*taken by another program\.\n {6}Stop that program/m);
      }
    } finally {
      stranger.close();
      await server.stop();
    }
  });

  it('finds a faulty configuration and storage that cannot be had', async () => {
    const faulty = await arqon.run(['doctor'], { env: { ARQONBUS_SERVER_PORT: 'x' } });
    expect(faulty.code).toBe(1);
    expect(faulty.stdout).toContain('ARQONBUS_SERVER_PORT');
    const any = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: '0' };
    const sqlite = { ...any, ARQONBUS_STORAGE_BACKEND: 'sqlite' };
    const missing = await arqon.run(['doctor'], { env: { ...sqlite, ARQONBUS_SQLITE_PATH: 'no/folder/bus.db' } });
    expect(missing.code).toBe(1);
    expect(missing.stdout).toMatch(/^fail {2}storage: /m);
    const fine = await arqon.run(['doctor'], { env: { ...sqlite, ARQONBUS_SQLITE_PATH: 'bus.db' } });
    expect(fine.code).toBe(0);
    const redis = { ...any, ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: 'redis://:hunter2@127.0.0.1:1' };
    const away = await arqon.run(['doctor'], { env: redis });
    expect(away.code).toBe(1);
    expect(away.stdout).toMatch(/^fail {2}storage: redis cannot be opened/m);
    expect(away.stdout + away.stderr).not.toContain('hunter2');
  });
});

describe('arqon storage', () => {
  const sqlite = { ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: 'bus.db' };

  it('makes the storage ready, counts what it holds, and says whether a bus could use it', async () => {
    const made = await arqon.run(['storage', 'migrate'], { env: sqlite });
    expect([made.code, made.stdout]).toEqual([0, 'The sqlite storage is ready for this release.\n']);
    const counted = await arqon.run(['storage', 'stats', '--json'], { env: sqlite });
    expect(JSON.parse(counted.stdout)).toEqual({
      backend: 'sqlite',
      streams: 0,
      messages: 0,
      bytes: expect.any(Number),
    });
    const checked = await arqon.run(['storage', 'check', '--json'], { env: sqlite });
    expect(JSON.parse(checked.stdout)).toEqual({ ok: true, backend: 'sqlite', warnings: [] });
  });

  it('says in one sentence what stands in the way', async () => {
    const env = {
      ARQONBUS_STORAGE_BACKEND: 'postgres',
      ARQONBUS_POSTGRES_URL: 'postgres://me:hunter2@127.0.0.1:1/bus',
    };
    for (const verb of ['migrate', 'stats', 'check']) {
      const { code, stdout, stderr } = await arqon.run(['storage', verb], { env });
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toBe('arqon: Nothing listens at postgres://127.0.0.1:1/bus: is PostgreSQL running there?\n');
    }
    expect((await arqon.run(['storage', 'check', '--storage', 'postgres'])).code).toBe(2);
  });
});

describe('arqon backup and arqon restore', () => {
  const at = (path: string) => ({ ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: path });

  /** What a bus kept: an event in a channel, and a key. */
  async function fill(path: string): Promise<void> {
    const engine = await loadEngine({
      ...{ backend: 'sqlite', mode: 'strict', sqlitePath: join(arqon.folder, path) },
      ...{ redisUrl: '', valkeyUrl: '', nodeId: 'test' },
    });
    await engine.open({ deliver: () => 0, receive() {}, health() {}, historyGap() {}, gap() {}, trimmed() {} });
    const to = { tenant: 'default', room: 'lab', channel: 'news' };
    const draft = openDraft({ id: 'arq_one', type: 'event', ...to, from: 'arq_client_ada', payload: { n: 1 } });
    await engine.broker.publish({ stream: to, draft, identity: 'ada', retention: { size: 10, ttlMs: 60_000 } });
    await engine.store.set({ tenant: 'default', space: 'store', namespace: 'default' }, 'colour', '"blue\u0007"');
    await engine.close();
  }

  it('carry what one storage holds into another, by a file or a pipe', async () => {
    await fill('old.db');
    const written = await arqon.run(['backup', 'bus.backup'], { env: at('old.db') });
    expect([written.code, written.stdout]).toEqual([
      0,
      'Backed up 1 events of 1 streams and 1 keys of the sqlite storage.\n',
    ]);
    expect(statSync(join(arqon.folder, 'bus.backup')).mode & 0o777).toBe(0o600);
    const restored = await arqon.run(['restore', 'bus.backup', '--json'], { env: at('new.db') });
    expect(JSON.parse(restored.stdout)).toEqual({
      file: 'bus.backup',
      backend: 'sqlite',
      keys: 1,
      streams: 1,
      events: 1,
    });
    const again = await arqon.run(['restore', 'bus.backup'], { env: at('new.db') });
    expect([again.code, again.stdout]).toEqual([1, '']);
    expect(again.stderr).toMatch(/^arqon: The sqlite storage is not empty \(it has streams\)/);
    const over = await arqon.run(['restore', 'bus.backup', '--into-existing'], { env: at('new.db') });
    expect([over.code, over.stdout]).toEqual([
      0,
      'Restored 1 events of 1 streams and 1 keys into the sqlite storage.\n',
    ]);
    const storage = '--storage sqlite --sqlite-path';
    const piped = await arqon.shell(`arqon backup - ${storage} new.db | arqon restore - ${storage} third.db`);
    expect([piped.code, piped.stdout]).toEqual([
      0,
      'Restored 1 events of 1 streams and 1 keys into the sqlite storage.\n',
    ]);
    expect(piped.stderr).toBe('arqon: Backed up 1 events of 1 streams and 1 keys of the sqlite storage.\n');
  }, 120_000);

  it('say in one sentence what is wrong, and write nothing then', async () => {
    const memory = await arqon.run(['backup', 'bus.backup']);
    expect([memory.code, memory.stderr]).toEqual([2, expect.stringMatching(/^arqon: What storage in memory holds/)]);
    const missing = await arqon.run(['backup', 'x'], { env: at('nowhere.db') });
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/^arqon: There is no SQLite database at /),
    ]);
    writeFileSync(join(arqon.folder, 'foreign'), 'hello\n');
    const foreign = await arqon.run(['restore', 'foreign'], { env: at('empty.db') });
    expect([foreign.code, foreign.stderr]).toEqual([
      1,
      expect.stringMatching(/^arqon: Line 1 is not how a backup begins/),
    ]);
    expect(existsSync(join(arqon.folder, 'empty.db'))).toBe(false);
    const nothing = await arqon.run(['restore', 'absent'], { env: at('empty.db') });
    expect([nothing.code, nothing.stderr]).toEqual([1, 'arqon: There is no file absent.\n']);
  }, 120_000);
});

describe('arqon completion', () => {
  it('completes verbs, their verbs and their options in bash', async () => {
    const complete = async (...words: readonly string[]): Promise<string[]> => {
      const array = words.map((word) => `'${word}'`).join(' ');
      const line = `source <(arqon completion bash); COMP_WORDS=(arqon ${array}); COMP_CWORD=${words.length}; _arqon; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return (await arqon.shell(line)).stdout.trimEnd().split('\n');
    };
    expect((await complete('to')).sort()).toEqual(['token', 'top']);
    expect(await complete('store', 'wa')).toEqual(['watch']);
    expect(await complete('tail', '--si')).toEqual(['--since']);
    expect(await complete('webhook', 'register', 'http://x', '--sec')).toEqual(['--secret-file']);
  });

  it('prints scripts for zsh and fish, and knows no other shell', async () => {
    expect((await arqon.run(['completion', 'zsh'])).stdout).toContain('bashcompinit');
    expect((await arqon.run(['completion', 'fish'])).stdout).toMatch(/^complete -c arqon -n .* -a tail -d /m);
    expect((await arqon.run(['completion', 'tcsh'])).code).toBe(2);
  });
});

describe('arqon itself', () => {
  it('prints its version without loading a server, and help at every level', async () => {
    const { code, stdout } = await arqon.run(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    for (const path of [[], ['store'], ['store', 'set'], ['token', 'inspect'], ['serve']]) {
      const help = await arqon.run([...path, '--help']);
      expect([help.code, help.stderr]).toEqual([0, '']);
      expect(help.stdout).toContain(`Usage: arqon ${path.join(' ')}`.trimEnd());
    }
  });

  it('exits 2 for what it does not know, and says what it does', async () => {
    for (const args of [
      ['tial'],
      ['store', 'gett'],
      ['rooms', '--bogus'],
      ['rooms', 'surplus'],
      ['store'],
      [],
      ['pub'],
    ]) {
      const { code, stdout, stderr } = await arqon.run(args);
      expect([args, code, stdout]).toEqual([args, 2, '']);
      expect(stderr).toMatch(/--help|Usage/);
    }
    expect((await arqon.run(['tial'])).stderr).toContain('Did you mean tail?');
  });

  it('names the flag of a port that is taken', async () => {
    const taken = createServer();
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const port = String((taken.address() as AddressInfo).port);
    const free = { '--port': '0', '--telemetry-port': '0', '--http-port': '0' };
    for (const flag of Object.keys(free)) {
      const flags = Object.entries({ ...free, [flag]: port }).flat();
      const { code, stderr } = await arqon.run(['serve', ...flags, '--log-level', 'fatal']);
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(`Port ${port} .* is in use.* It is set by ${flag} or ARQON`),
      ]);
    }
    taken.close();
  });

  it('starts a bus that it can talk to, and reads the configuration again on SIGHUP', async () => {
    file('arqonbus.config.yaml', 'casil:\n  enabled: true\n');
    const flags = ['--port', '0', '--telemetry-port', 'off', '--http-port', 'off'];
    const serve = arqon.start(['serve', ...flags]);
    const url = JSON.parse(await serve.line(/ is ready/)).bus;
    const mode = async (): Promise<string> => (await arqon.json(['casil', 'get', '--json', '--ws-url', url])).mode;
    expect(await mode()).toBe('monitor');
    file('arqonbus.config.yaml', 'casil:\n  enabled: true\n  mode: enforce\n');
    serve.child.kill('SIGHUP');
    await serve.complaint(/the configuration was read again/);
    expect(await mode()).toBe('enforce');
    file('arqonbus.config.yaml', 'casil:\n  mode: strictest\n');
    serve.child.kill('SIGHUP');
    await serve.complaint(/nothing was changed.*\n/);
    serve.child.kill('SIGTERM');
    const { code, stdout, stderr } = await serve.ended;
    expect(code).toBe(0);
    const told = linesOf(stdout + stderr);
    expect(told).toContainEqual(
      expect.objectContaining({ level: 'error', faults: [expect.stringMatching(/casil.mode/)] }),
    );
    expect(told).toContainEqual(
      expect.objectContaining({ level: 'warn', msg: expect.stringMatching(/^Authentication/) }),
    );
  });

  it('writes nothing but JSON where nobody sits at a terminal, whatever is wrong', async () => {
    const wrong: readonly [string[], number, unknown][] = [
      [['--port', 'many'], 2, { details: [expect.stringMatching(/^--port is "many"/)] }],
      [['--prot', '1'], 2, { msg: expect.stringMatching(/unknown option '--prot'.*--port/) }],
      [['--storage', 'redis'], 2, { details: [expect.stringMatching(/ARQONBUS_REDIS_URL/)] }],
    ];
    const runs = wrong.map(async ([args, code, line]) => {
      const ended = await arqon.run(['serve', ...args]);
      expect(ended).toMatchObject({ code, stdout: '' });
      expect(linesOf(ended.stderr)).toContainEqual(expect.objectContaining({ level: 'fatal', ...(line as object) }));
    });
    await Promise.all(runs);
  });
});

/** Lines of a log; throws for one that is no JSON. */
function linesOf(text: string): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
