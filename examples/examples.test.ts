import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../test/fixtures/start.ts';
import { Running } from './run.suite.ts';

let bus: TestServer;
const running: Running[] = [];

beforeAll(async () => {
  bus = await startTestServer({ ARQONBUS_WEBHOOK_ALLOW_HOSTS: '127.0.0.1' });
});
afterEach(() => {
  for (const example of running.splice(0)) example.kill();
});
afterAll(() => bus.stop());

function run(name: string, ...args: string[]): Running {
  const example = new Running(name, args, { ARQONBUS_WS_URL: bus.urls.bus, PORT: '0' });
  running.push(example);
  return example;
}

describe('examples', () => {
  it('hello-world-bot greets and answers', async () => {
    const bot = run('hello-world-bot.ts', '--once');
    await bot.says(/listening on science:general/);
    const visitor = run('chat.ts', 'Ada', 'science:general');
    await visitor.says(/: Welcome, Ada!/);
    visitor.type('How are you?');
    await visitor.says(/: You said: How are you\?/);
    expect(await bot.end()).toBe(0);
    expect(await visitor.end()).toBe(0);
  });

  it('chat lets two people talk, and tells the second what was said before', async () => {
    const ada = run('chat.ts', 'Ada');
    await ada.says(/you are Ada in lounge:chat/);
    ada.type('Anybody here?');
    ada.type('/who');
    await ada.says(/here: Ada\n/);
    const grace = run('chat.ts', 'Grace');
    await grace.says(/\(earlier\) Ada: Anybody here\?/);
    await ada.says(/\* Grace came; 2 here/);
    grace.type('Yes.');
    await ada.says(/\nGrace: Yes\./);
    ada.type('/quit');
    await grace.says(/\* Ada left; 1 here/);
    expect([await ada.end(), await grace.end()]).toEqual([0, 0]);
    expect(await run('chat.ts').end()).toBe(2);
  });

  it('agent-team answers its question in five steps', async () => {
    const team = run('agent-team.ts', 'Why is the sky blue?');
    await team.says(/science:explore +Why is the sky blue\?\n/);
    await team.says(/science:share +\S.*\nreport after 5 steps/);
    expect(await team.end()).toBe(0);
  });

  it('request-reply divides, refuses and says when nobody is there', async () => {
    const alone = run('request-reply.ts', 'ask', '84', '2');
    await alone.says(/NO_SERVICE/);
    expect(await alone.end()).toBe(1);

    const service = run('request-reply.ts', 'serve');
    await service.says(/serving as arq_client_/);
    const caller = run('request-reply.ts', 'ask', '84', '2');
    const refused = run('request-reply.ts', 'ask', '84', '0');
    await caller.says(/84 \/ 2 = 42 \(one of 1/);
    await refused.says(/DIVISION_BY_ZERO/);
    expect([await caller.end(), await refused.end(), await service.interrupt()]).toEqual([0, 1, 0]);
    expect(await run('request-reply.ts').end()).toBe(2);
  });

  it('webhook-receiver believes what is signed and nothing else', async () => {
    const receiver = run('webhook-receiver.ts', 'science:explore', '--limit', '1');
    const [, own = ''] = await receiver.says(/posts science:explore to (\S+)\n/);
    const headers = {
      'webhook-id': 'dlv_1',
      'webhook-timestamp': `${Math.floor(Date.now() / 1000)}`,
      'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
    };
    const forged = await fetch(own, { method: 'POST', body: '{"delivery_id":"dlv_1"}', headers });
    expect(forged.status).toBe(401);
    expect((await fetch(own, { method: 'POST', body: '{}' })).status).toBe(401);
    const peer = await Peer.connect(bus.urls.bus);
    peer.send({ type: 'event', room: 'science', channel: 'explore', payload: { text: 'signed' } });
    await receiver.says(/attempt 1 from arq_client_\S+: \{"text":"signed"\}/);
    expect(await receiver.end()).toBe(0);
    await peer.close();
  });

  it('cron-heartbeat hears every beat', async () => {
    const monitor = run('cron-heartbeat.ts', '--every', '0.2', '--beats', '3');
    await monitor.says(/beat 1 from op-cron[\s\S]*beat 2 from op-cron[\s\S]*beat 3 from op-cron/);
    expect(await monitor.end()).toBe(0);
    expect(monitor.output).not.toContain('ALARM');
  });

  it('casil-policy watches, redacts and blocks', async () => {
    const example = run('casil-policy.ts');
    expect(await example.end()).toBe(0);
    const [, monitor = '', redacting = '', blocking = ''] = example.output.split(/^monitor|^enforce/m);
    expect(monitor).toContain(
      'would be ALLOW_WITH_REDACTION) CASIL_MONITOR_MODE: {"text":"Please look at ORDER-471108."}',
    );
    expect(monitor).not.toContain('blocked');
    expect(redacting).toContain('{"text":"Please look at ***REDACTED***."}');
    expect(redacting).not.toMatch(/ORDER-|hunter2|ada@/);
    expect(redacting.match(/blocked .*/g)).toEqual(['blocked   CASIL_POLICY_OVERSIZE']);
    expect(blocking.match(/CASIL_POLICY_BLOCKED_SECRET/g)).toHaveLength(2);
  });

  it('two-tenants never meet', async () => {
    const example = run('two-tenants.ts');
    expect(await example.end()).toBe(0);
    expect(example.output).toContain('without a token: AUTHENTICATION_FAILED, HTTP 401');
    expect(example.output).toContain('red writes to bert in private: TARGET_NOT_FOUND');
    expect(example.output).toContain("red's intern writes there: AUTHORIZATION_ERROR");
    expect(example.output).toMatch(/it has sequence 1\nblue reads: Sunday\n/);
  });

  it('embed-http serves pages and the bus on one port', async () => {
    const example = run('embed-http.ts');
    expect(await example.end()).toBe(0);
    expect(example.output).toContain('GET / answers 200\n');
    expect(example.output).toMatch(/the program hears placed from arq_client_\w+: \{"id":7\}\n/);
    expect(example.output).toContain('the client hears from app:shop: {"id":7}\n');
  });

  it.each(['embed-express.ts', 'embed-fastify.ts'])('%s publishes what is posted to a route', async (name) => {
    const example = run(name);
    expect(await example.end()).toBe(0);
    expect(example.output).toContain('POST /orders answers 201 {"id":7,"sequence":1}\n');
    expect(example.output).toContain('the program hears from app:shop: {"id":7}\n');
    expect(example.output).toContain('the client hears from app:shop: {"id":7}\n');
  });

  it.each([
    ['embed-socket-io.ts', 'the client of Socket.IO', 'Socket.IO', []],
    ['embed-socket-io.ts', 'the client of Socket.IO', 'Socket.IO', ['--bus-last']],
    ['embed-ws.ts', 'the feed', 'the feed', []],
    ['embed-ws.ts', 'the feed', 'the feed', ['--bus-last']],
  ])('%s: %s and a client of the bus talk (%s, %j)', async (name, other, from, args) => {
    const example = run(name, ...args);
    expect(await example.end()).toBe(0);
    expect(example.output).toContain('GET / answers 200 a page\n');
    expect(example.output).toMatch(new RegExp(`the client of the bus hears from app:\\S+: hello from ${from}\\n`));
    expect(example.output).toContain(`${other} hears: hello from ${from}\n`);
    expect(example.output).toContain(`${other} hears: hello from the bus\n`);
  });

  it('end cleanly on Ctrl-C', async () => {
    const bot = run('hello-world-bot.ts');
    const monitor = run('cron-heartbeat.ts');
    const receiver = run('webhook-receiver.ts');
    const host = run('embed-http.ts', '--stay');
    await Promise.all([bot.says(/listening/), monitor.says(/beat 1/), receiver.says(/posts/), host.says(/pages on/)]);
    const codes = [bot, monitor, receiver, host].map((example) => example.interrupt());
    expect(await Promise.all(codes)).toEqual([0, 0, 0, 0]);
  });

  it('are all in the list', () => {
    const list = readFileSync(new URL('README.md', import.meta.url), 'utf8');
    const files = readdirSync(new URL('.', import.meta.url)).filter((name) => !/\.(test|suite)\.ts$|\.md$/.test(name));
    expect(files.length).toBeGreaterThan(9);
    for (const name of files) expect(list).toContain(`(${name}`);
  });
});
