import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createConnection, createServer as createNetServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { token, tokenOf, WITH_AUTH } from '../../../test/fixtures/tokens.ts';
import { ModelClient } from './agents.suite.ts';
import { type HttpOptions, McpHttp } from './http.ts';

let bus: TestServer;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  bus = await startTestServer({
    ...WITH_AUTH,
    ARQONBUS_RULES: JSON.stringify([
      {
        match: 'orders:created',
        schema: {
          mode: 'enforce',
          schema: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] },
        },
      },
    ]),
  });
});

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

afterAll(() => bus?.stop());

async function serve(options: Partial<HttpOptions> = {}): Promise<McpHttp> {
  const mcp = await McpHttp.start({ bus: { url: bus.urls.bus }, port: 0, report: () => {}, ...options });
  cleanups.push(() => mcp.stop());
  return mcp;
}

async function connect({ url }: McpHttp, bearer: string): Promise<ModelClient> {
  const client = await ModelClient.connect(url, 'stateless', bearer);
  cleanups.push(() => client.close());
  return client;
}

/** Status and body of a request as any program may make it. */
async function post(url: string, headers: Record<string, string>, path?: string): Promise<[number, string]> {
  const target = new URL(path ?? new URL(url).pathname, url);
  return new Promise((resolve, reject) => {
    const sent = request(
      target,
      { method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        answer.on('end', () => resolve([answer.statusCode ?? 0, text]));
      },
    );
    sent.on('error', reject);
    sent.end('{}');
  });
}

describe('agents over HTTP', () => {
  it('are on the bus as their own tokens say, and may do what these allow', async () => {
    const mcp = await serve();
    const ada = await connect(mcp, await token({ sub: 'ada' }));
    const bob = await connect(mcp, await tokenOf({ sub: 'bob', role: 'user', publish: [], subscribe: ['lab:*'] }));
    expect(await ada.call('who_am_i')).toMatchObject({ subject: '@ada' });
    await ada.call('publish', { channel: 'lab:talk', data: { n: 1 } });
    expect((await bob.call('read', { channel: 'lab:talk' })).messages).toMatchObject([
      { from: '@ada', data: { n: 1 } },
    ]);
    const { answer } = await bob.ask('publish', { channel: 'lab:talk', data: { n: 2 } });
    expect(answer.error_code).toBe('AUTHORIZATION_ERROR');
  });

  it('are refused without a token that the bus takes', async () => {
    const { url } = await serve();
    expect((await post(url, {}))[0]).toBe(401);
    expect((await post(url, { authorization: 'Bearer not.a.token' }))[0]).toBe(401);
    const [status, text] = await post(url, { authorization: 'Basic YTpi' });
    expect([status, JSON.parse(text).error]).toEqual([401, expect.stringContaining('Authorization: Bearer')]);
    // A name that a caller gives itself is no token.
    expect((await post(url, {}, '/mcp?subject=ada'))[0]).toBe(401);
  });

  it('are served at one path, to no web page and under no other name', async () => {
    const { url } = await serve();
    const authorization = `Bearer ${await token({ sub: 'ada' })}`;
    expect((await post(url, { authorization }, '/other'))[0]).toBe(404);
    expect((await post(url, { authorization, origin: 'https://evil.example' }))[0]).toBe(403);
    expect((await post(url, { authorization, host: 'evil.example' }))[0]).toBe(403);
  });

  it('share the calls and the connections that there are', async () => {
    const mcp = await serve({ maxAgents: 1, maxCalls: 1 });
    const bearer = await token({ sub: 'ada' });
    const ada = await connect(mcp, bearer);
    const { cursor } = await ada.call('join', { channel: 'lab:busy' });
    const waiting = ada.call('wait', { places: { 'lab:busy': cursor }, seconds: 50 });
    await expect.poll(async () => (await post(mcp.url, { authorization: `Bearer ${bearer}` }))[0]).toBe(429);
    const other = await token({ sub: 'bob' });
    const [status, text] = await post(mcp.url, { authorization: `Bearer ${other}` });
    expect([status, JSON.parse(text).error]).toEqual([429, expect.stringContaining('1 agents are at work')]);
    const publisher = await serve();
    await (await connect(publisher, other)).call('publish', { channel: 'lab:busy', data: {} });
    expect((await waiting).messages).toHaveLength(1);
    // An agent that nobody calls makes room for another.
    await expect.poll(async () => (await post(mcp.url, { authorization: `Bearer ${other}` }))[0]).toBe(400);
  });

  it('are not at work for a caller that went before the bus answered', async () => {
    const behind = new URL(bus.urls.bus);
    const arrived: (() => void)[] = [];
    // A slow way to the bus.
    const way = createNetServer((socket) => {
      arrived.push(() => {
        const line = createConnection(Number(behind.port), behind.hostname);
        socket.pipe(line).pipe(socket);
        for (const one of [socket, line]) one.on('error', () => socket.destroy());
      });
    });
    way.listen(0, '127.0.0.1');
    await once(way, 'listening');
    cleanups.push(async () => way.close());
    const { port } = way.address() as AddressInfo;
    const mcp = await serve({ bus: { url: `ws://127.0.0.1:${port}` }, maxCalls: 1 });
    const headers = { authorization: `Bearer ${await token({ sub: 'ada' })}`, 'content-type': 'application/json' };
    const leaving = new AbortController();
    const left = fetch(mcp.url, { method: 'POST', headers, body: '{}', signal: leaving.signal });
    await expect.poll(() => arrived.length, { timeout: 10_000 }).toBe(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    for (let n = 0; n < 3; n += 1) await post(mcp.url, {}, '/other');
    arrived[0]?.();
    await expect.poll(async () => (await post(mcp.url, headers))[0], { timeout: 10_000 }).toBe(400);
  });

  it('leave the bus when nobody calls them any more', async () => {
    const mcp = await serve({ idleMs: 50 });
    const ada = await connect(mcp, await token({ sub: 'ada' }));
    await ada.call('join', { channel: 'lab:idle' });
    const admin = await connect(await serve(), await token({ sub: 'root', role: 'admin' }));
    await expect.poll(async () => (await admin.ask('who', { name: 'ada' })).answer.clients).toEqual([]);
    expect(await ada.call('who_am_i')).toMatchObject({ subject: '@ada' });
  });

  it.each([
    [['orders'], '"orders" is not a channel'],
    [['a:b_c', 'a_b:c'], 'a:b_c and a_b:c would both be the tool publish_a_b_c'],
  ])('are not served with %j as tools', async (channels, sentence) => {
    await expect(serve({ channels })).rejects.toThrow(sentence);
  });

  it('get a typed channel as a tool of its own, and its schema with join', async () => {
    const mcp = await serve({ channels: ['orders:created', 'lab:free'] });
    const root = await connect(mcp, await token({ sub: 'root', role: 'admin' }));
    const { tools } = await root.client.listTools();
    expect(tools.find(({ name }) => name === 'publish_orders_created')?.inputSchema).toMatchObject({
      properties: { total: { type: 'number' } },
      required: ['total'],
    });
    const { cursor, schema } = await root.call('join', { channel: 'orders:created' });
    expect(schema).toMatchObject({ required: ['total'] });
    // Whoever may read it is told, admin or not.
    const user = await connect(mcp, await token({ sub: 'eve' }));
    expect(await user.call('join', { channel: 'orders:created' })).toMatchObject({ schema });
    await root.call('publish_orders_created', { total: 3 });
    expect((await root.ask('publish_orders_created', { total: 'x' })).answer).toMatchObject({
      error_code: 'SCHEMA_MISMATCH',
    });
    await root.call('publish_lab_free', { anything: true });
    expect((await root.call('read', { channel: 'orders:created', cursor })).messages).toMatchObject([
      { data: { total: 3 } },
    ]);
  });
});
