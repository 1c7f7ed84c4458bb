import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';
import { Arqon } from './arqon.ts';
import { startNamingBus } from './naming-bus.ts';

let server: TestServer;
let arqon: Arqon;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_NODE_ID: 'the-one-meant', ARQONBUS_CASIL_ENABLED: 'true' });
});
afterAll(() => server.stop());
beforeEach(() => {
  arqon = new Arqon();
});
afterEach(() => arqon.stop());

describe('the address of the bus alone', () => {
  it('makes status, version and doctor look at that bus', async () => {
    const env = { ARQONBUS_WS_URL: server.urls.bus };
    const status = await arqon.run(['status'], { env });
    expect([status.code, status.stderr]).toEqual([0, '']);
    expect(status.stdout).toMatch(/^node +the-one-meant$/m);
    const version = await arqon.run(['version'], { env });
    expect(version).toMatchObject({ code: 0, stderr: '' });
    expect(version.stdout).toMatch(/^arqon {5}\S+\nserver {4}\S+\nprotocol {2}1\.0\n/);
    const doctor = await arqon.run(['doctor'], { env });
    expect(doctor.stdout).toMatch(/^ok {4}bus: A bus answers at ws:\S+; its node is the-one-meant\.$/m);
    expect(doctor.stdout).toMatch(/^ok {4}clock: /m);
    expect(doctor.stdout).not.toMatch(/port bus|storage|files/);
  });

  it('leads to the HTTP port that the bus names', async () => {
    const { port } = new URL(server.urls.http);
    const naming = await startNamingBus(`http://0.0.0.0:${port}`, 'the-one-meant');
    try {
      const env = { ARQONBUS_WS_URL: naming.url };
      const status = await arqon.run(['status'], { env });
      expect(status.stdout).toMatch(new RegExp(`^http +${server.urls.http}$`, 'm'));
      expect((await arqon.run(['version'], { env })).stdout).not.toContain('9.9.9');
      const top = await arqon.run(['top', '--json', '--interval-seconds', '0.1'], { env });
      expect(top.stderr).toBe('');
      expect(JSON.parse(top.stdout)).toMatchObject({ node: 'the-one-meant' });
      const doctor = await arqon.run(['doctor'], { env });
      expect(doctor.stdout).toMatch(new RegExp(`^ok {4}http: Its HTTP port answers at ${server.urls.http}\\.$`, 'm'));
      // An address that was given stands over the one that is named.
      const given = await arqon.run(['status', '--http-url', 'http://127.0.0.1:1'], { env });
      expect(given.stderr).toContain('no bus answers at http://127.0.0.1:1');
    } finally {
      await naming.stop();
    }
  });

  it('sends no credentials to another host that the bus names', async () => {
    const naming = await startNamingBus('http://elsewhere.invalid:8080', 'x');
    try {
      const { code, stderr } = await arqon.run(['top', '--ws-url', naming.url, '--jwt', 'sealed.and.secret']);
      expect(code).toBe(1);
      expect(stderr).toContain('names http://elsewhere.invalid:8080 as its HTTP port, which is on another host.');
      expect(stderr).not.toContain('sealed');
    } finally {
      await naming.stop();
    }
  });

  it('says where it looks when the bus names no HTTP port', async () => {
    const naming = await startNamingBus(undefined, 'nobody-else');
    try {
      const { code, stderr } = await arqon.run(['top', '--json'], { env: { ARQONBUS_WS_URL: naming.url } });
      expect(code).toBe(1);
      expect(stderr).toContain('the bus does not name its HTTP port; looking at http://127.0.0.1:8080.');
      expect(stderr).toMatch(
        /no bus answers at|is not the HTTP port of a bus|is the HTTP port of another bus|answered/,
      );
    } finally {
      await naming.stop();
    }
  });

  it('fails for a bus that is named and away, after the own version', async () => {
    const away = await arqon.run(['version'], { env: { ARQONBUS_WS_URL: 'ws://127.0.0.1:1' } });
    expect(away.code).toBe(1);
    expect(away.stdout).toMatch(/^arqon {5}\d+\.\d+\.\d+\n$/);
    expect(away.stderr).toContain('no bus answers at ws://127.0.0.1:1 (ECONNREFUSED)');
    const doctor = await arqon.run(['doctor', '--ws-url', 'ws://127.0.0.1:1']);
    expect(doctor.code).toBe(1);
    expect(doctor.stdout).toMatch(/^fail {2}bus: No bus answers at ws:\/\/127\.0\.0\.1:1 /m);
  });

  it.each([
    [['rooms', '--ws-url', 'nonsense'], {}, '--ws-url'],
    [['rooms'], { ARQONBUS_WS_URL: 'localhost:9100' }, 'ARQONBUS_WS_URL'],
    [['status'], { ARQONBUS_HTTP_URL: 'ws://127.0.0.1' }, 'ARQONBUS_HTTP_URL'],
    [['top', '--http-url', 'nonsense'], {}, '--http-url'],
    [['rooms', '--timeout-seconds', '0'], {}, '--timeout-seconds'],
    [['rooms', '--ca', 'missing.pem'], {}, '--ca'],
    [['token', '--secret-file', 'missing'], {}, '--secret-file'],
    [['history', 'a:b', '--since', 'x'], {}, '--since'],
  ])('names what is wrong in %j with %j', async (args, env, name) => {
    const { code, stderr } = await arqon.run(args, { env: env as Record<string, string> });
    expect(code).toBe(2);
    expect(stderr).toContain(name);
  });
});

describe('the own questions of arqon top', () => {
  it('are neither counted nor listed', async () => {
    const env = { ARQONBUS_HTTP_URL: server.urls.http };
    const before = JSON.parse((await arqon.run(['top', '--json', '--interval-seconds', '0.1'], { env })).stdout);
    const fresh = await startTestServer({ ARQONBUS_CASIL_ENABLED: 'true' });
    try {
      const args = ['top', '--json', '--interval-seconds', '0.3', '--http-url', fresh.urls.http];
      expect((await arqon.json(args)).casil).toEqual({});
      expect(before.messages_per_second).toBe(0);
      const live = arqon.runOnTerminal(['top', '--interval-seconds', '0.1'], { ARQONBUS_HTTP_URL: fresh.urls.http });
      await live.line(/server_started/);
      await arqon.run(['pub', 'seen:in-top', '{}', '--ack', '--ws-url', fresh.urls.bus]);
      await live.line(/channel_created/);
      live.child.stdin.write('q');
      await live.ended;
      expect(live.raw).not.toMatch(/"command":"status"|http:anonymous/);
    } finally {
      await fresh.stop();
    }
  });
});

describe('the token of the environment', () => {
  it('is that of ARQONBUS_TOKEN, else of ARQONBUS_AUTH_JWT', async () => {
    const guarded = await startTestServer(WITH_AUTH);
    try {
      const jwt = await token({ sub: 'alice', role: 'admin' });
      const at = { ARQONBUS_WS_URL: guarded.urls.bus, ARQONBUS_HTTP_URL: guarded.urls.http };
      const run = (args: string[], env: Record<string, string>): Promise<number | null> =>
        arqon.run(args, { env: { ...at, ...env } }).then(({ code }) => code);
      expect(await run(['rooms'], { ARQONBUS_AUTH_JWT: jwt })).toBe(0);
      expect(await run(['status'], { ARQONBUS_AUTH_JWT: jwt })).toBe(0);
      expect(await run(['rooms'], { ARQONBUS_AUTH_JWT: 'x.y.z', ARQONBUS_TOKEN: jwt })).toBe(0);
      expect(await run(['rooms', '--jwt', jwt], { ARQONBUS_AUTH_JWT: 'x.y.z' })).toBe(0);
      expect(await run(['rooms'], { ARQONBUS_AUTH_JWT: jwt, ARQONBUS_TOKEN: '' })).toBe(0);
      const wrong = await arqon.run(['rooms'], { env: { ...at, ARQONBUS_AUTH_JWT: 'x.y.z' } });
      expect(wrong.stderr).toContain('"arqon token inspect" says what is wrong with the token');
      const check = await arqon.run(['config', 'check'], { env: { ARQONBUS_AUTH_JWT: jwt } });
      expect([check.code, check.stderr]).toEqual([0, '']);
    } finally {
      await guarded.stop();
    }
  });
});

describe('a bus with a self-signed certificate', () => {
  let secure: TestServer;
  let ca: string;
  let folder: Arqon;

  beforeAll(async () => {
    folder = new Arqon();
    ca = join(folder.folder, 'cert.pem');
    const key = join(folder.folder, 'key.pem');
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost';
    const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', ca];
    execFileSync('openssl', [...request.split(' '), ...names], { stdio: 'ignore' });
    secure = await startTestServer({ ARQONBUS_TLS_CERT_FILE: ca, ARQONBUS_TLS_KEY_FILE: key });
  });
  afterAll(async () => {
    await secure.stop();
    await folder.stop();
  });

  it('is trusted with --ca, and else the remedy is told', async () => {
    const at = { ARQONBUS_WS_URL: secure.urls.bus, ARQONBUS_HTTP_URL: secure.urls.http };
    for (const args of [['rooms'], ['status'], ['version'], ['doctor'], ['tail', '--limit', '1'], ['top', '--json']]) {
      const trusted = await arqon.run([...args, '--ca', ca], { env: at });
      expect([args, trusted.code, trusted.stderr]).toEqual([args, 0, '']);
      const refused = await arqon.run(args, { env: at });
      expect([args, refused.code]).toEqual([args, 1]);
      const host = ['rooms', 'tail', 'doctor'].includes(args[0]!) ? secure.urls.bus : secure.urls.http;
      expect(refused.stdout + refused.stderr).toMatch(
        new RegExp(
          `he certificate of ${new URL(host).host} is not trusted \\(self-signed certificate\\); pass --ca FILE`,
        ),
      );
    }
    const clear = await arqon.run(['rooms', '--ws-url', secure.urls.bus.replace('wss', 'ws')]);
    expect(clear.stderr).toContain('If it speaks TLS, write wss://.');
    const plain = await arqon.run(['rooms', '--ws-url', server.urls.bus.replace('ws', 'wss')]);
    expect(plain.stderr).toContain('does not speak TLS; write the address with ws://');
    const noCertificate = await arqon.run(['rooms', '--ca', ca.replace('cert', 'key')], { env: at });
    expect([noCertificate.code, noCertificate.stderr]).toEqual([
      2,
      expect.stringContaining('a certificate in PEM form'),
    ]);
  });

  it('shows its events in the live view', async () => {
    const top = arqon.runOnTerminal(['top', '--interval-seconds', '0.1', '--ca', ca], {
      ARQONBUS_HTTP_URL: secure.urls.http,
    });
    await top.line(/server_started/);
    top.child.stdin.write('q');
    expect((await top.ended).code).toBe(0);
  });
});

describe('arqon token', () => {
  const long = 'a secret of tests, which is long enough for anyone';
  const claims = async (...args: string[]): Promise<{ iat: number; exp?: number }> => {
    const { stdout } = await arqon.run(['token', '--secret', long, ...args]);
    return JSON.parse(Buffer.from(stdout.split('.')[1]!, 'base64url').toString());
  };

  it('warns of a secret that can be guessed, and makes the token all the same', async () => {
    const short = await arqon.run(['token', '--secret', 'short']);
    expect(short.code).toBe(0);
    expect(short.stdout).toMatch(/^\S+\.\S+\.\S+\n$/);
    expect(short.stderr).toBe(
      'arqon: warning: the secret has 5 bytes and can be guessed; use at least 32 random ones.\n',
    );
    expect((await arqon.run(['token', '--secret', 'x'.repeat(31)])).stderr).toContain('31 bytes');
    expect((await arqon.run(['token', '--secret', 'x'.repeat(32)])).stderr).toBe('');
  });

  it('makes a token that expires, unless told otherwise', async () => {
    const { iat, exp } = await claims();
    expect(exp! - iat).toBe(86_400);
    expect(await claims('--expires', '90s')).toMatchObject({ exp: expect.any(Number) });
    expect(await claims('--expires', 'never')).not.toHaveProperty('exp');
  });
});

describe('on a narrow terminal', () => {
  it.each([30, 50, 80])('no table is wider than its %d columns', async (columns) => {
    for (const args of ['channels science', 'config show', 'clients', 'status']) {
      const env = { NO_COLOR: '1', ARQONBUS_WS_URL: server.urls.bus };
      const lines = (await arqon.show(args.split(' '), env, columns)).trimEnd().split('\n');
      expect(lines.length).toBeGreaterThan(1);
      expect([args, lines.filter((one) => [...one].length > columns)]).toEqual([args, []]);
    }
  });
});
