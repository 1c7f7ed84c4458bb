import { execFile, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<
    Record<string, { readonly content: Readonly<Record<string, { readonly schema: object }>> }>
  >;
}

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: object;
}

const PAGE = readFileSync(new URL('../../../../docs/http.md', import.meta.url), 'utf8');
const execute = promisify(execFile);
const PROBES = [
  '/',
  '/assets/{file}',
  '/client.js',
  '/health',
  '/health/live',
  '/ready',
  '/health/ready',
  '/version',
  '/metrics',
  '/metrics/prometheus',
];
let server: TestServer;
let peer: Peer;
let document: OpenApi;

beforeAll(async () => {
  server = await startTestServer();
  peer = await Peer.connect(server.urls.bus);
  await peer.publish({ room: 'science', channel: 'explore', payload: {} });
  document = (await ask(`${server.urls.http}/openapi.json`)).json;
});
afterAll(() => server.stop());

function operations(): { method: string; path: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method, path, operation })),
  );
}

describe('GET /openapi.json', () => {
  it('describes every route, each under a name of its own', async () => {
    expect(document.openapi).toBe('3.1.0');
    const { routes } = (await ask(`${server.urls.http}/system/info`)).json;
    const described = operations().map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(described.filter((route) => route !== 'GET /openapi.json').sort()).toEqual([...routes].sort());
    const names = operations().map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
  });

  it('names the parameters of each path', () => {
    for (const { path, operation } of operations()) {
      const named = (operation.parameters ?? []).filter((one) => one.in === 'path').map(({ name }) => name);
      expect([path, named]).toEqual([path, [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)]);
    }
  });

  it('tells the truth about answers, good and bad', async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema({ $id: 'doc', components: document.components });
    const validate = (operation: Operation, status: number, value: unknown): void => {
      const { content } = operation.responses[String(status)] ?? operation.responses.default ?? { content: {} };
      const text = JSON.stringify(content['application/json']?.schema).replaceAll('"#/', '"doc#/');
      const check = ajv.compile(JSON.parse(text));
      expect([operation.operationId, check(value), check.errors]).toEqual([operation.operationId, true, null]);
    };
    const bodies: Readonly<Record<string, object | string>> = {
      '/v1/publish': { room: 'lab' },
      '/v1/batch': JSON.stringify([{ publish: { room: 'lab' } }, { command: 'nothing' }]),
      '/v1/subjects/{sub}/join': { room: 'lab' },
      '/v1/subjects/{sub}/leave': { room: 'lab' },
    };
    const queries: Readonly<Record<string, string>> = {
      '/v1/messages': '?room=science:explore&limit=3',
      '/v1/presence': '?room=science:explore',
    };
    const names: Readonly<Record<string, string>> = { room: 'science', name: 'ping', id: peer.id, sub: 'ada' };
    // What disconnects the client comes last.
    for (const { method, path, operation } of operations().sort((one) => (one.path.includes('{id}') ? 1 : -1))) {
      const at = server.urls.http + path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => names[name] ?? '');
      const url = `${at}${queries[path] ?? ''}`;
      // A stream has no end that could be waited for; its own tests read it.
      if (path === '/v1/stream') continue;
      const body = method === 'post' ? { body: bodies[path] ?? {} } : { method: method.toUpperCase() };
      const { status, json, headers } = await ask(url, body);
      if (json === undefined)
        expect(headers['content-type']).toContain(Object.keys(operation.responses['200']?.content ?? {})[0]);
      else validate(operation, status, json);
      if (PROBES.includes(path)) continue;
      const refused = await ask(`${at}?nonsense=1`, body);
      expect([path, refused.status]).toEqual([path, 400]);
      validate(operation, refused.status, refused.json);
    }
  });
});

describe('docs/http.md', () => {
  it('has the table of routes that the document makes', () => {
    const rows = operations().map(({ method, path, operation }) => {
      const [, access] = /^(?:For (user|admin|operator)s?\b|Open)/.exec(operation.description) ?? [];
      return `| \`${method.toUpperCase()} ${path}\` | ${access ?? 'open'} | ${operation.summary} |`;
    });
    const table = PAGE.split('<!-- routes -->')[1]?.split('<!-- /routes -->')[0]?.trim() ?? '';
    // The formatter pads cells so that columns align.
    const written = table.split('\n').map((row) => row.replaceAll(/ +/g, ' '));
    expect(written.slice(2)).toEqual(rows);
  });

  // Elsewhere than in CI, who has no curl does without.
  it.skipIf(process.env.CI === undefined && !hasCurl())('has examples that work', async () => {
    const commands = [...PAGE.matchAll(/^curl -s .*$/gm)].map(([command]) => command);
    expect(commands.length).toBeGreaterThan(8);
    for (const command of commands) {
      const here = command
        .replace('http://localhost:8080', server.urls.http)
        .replace('curl -s', 'curl -s --fail-with-body');
      // In a process of its own, since the server answers in this one.
      expect((await execute('sh', ['-c', here])).stdout).not.toBe('');
    }
  });

  it.skipIf(process.env.CI === undefined && !hasCurl())('has a stream that curl reads', async () => {
    const [command = ''] = /^curl -N .*$/m.exec(PAGE) ?? [];
    const reading = spawn('sh', ['-c', `exec ${command.replace('http://localhost:8080', server.urls.http)}`]);
    let read = '';
    for await (const chunk of reading.stdout) {
      read += chunk;
      if (read.includes('arq_join_1')) break;
    }
    reading.kill();
    expect(read).toContain('"event":"welcome"');
    expect(read).toMatch(/^id: \+science:explore=\d+@/m);
  });

  it('names every metric', async () => {
    const { text } = await ask(`${server.urls.http}/metrics`);
    for (const [, name] of text.matchAll(/^# TYPE (arqonbus_\w+)/gm)) expect(PAGE).toContain(`\`${name}`);
  });
});

function hasCurl(): boolean {
  return spawnSync('curl', ['--version']).status === 0;
}
