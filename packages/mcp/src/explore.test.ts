import { afterAll, beforeAll, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { ModelClient } from './agents.suite.ts';
import { McpHttp } from './http.ts';
import { ArqonBusClient } from '@arqonbus/client';

let bus: TestServer;
let mcp: McpHttp;
beforeAll(async () => {
  bus = await startTestServer();
  mcp = await McpHttp.start({ bus: { url: bus.urls.bus }, port: 0, report: (e) => console.log('REPORT', e) });
});
afterAll(async () => { await mcp?.stop(); await bus?.stop(); });

it('explore', async () => {
  const ada = await ModelClient.connect(`${mcp.url}?subject=ada`, 'stateless');
  const bob = await ModelClient.connect(`${mcp.url}?subject=bob`, 'stateless');
  const anon = new ArqonBusClient({ url: bus.urls.bus, clientType: 'human' });
  await anon.connect();
  const { tools } = await ada.client.listTools();
  console.log('BYTES', Buffer.byteLength(JSON.stringify(tools)), Buffer.byteLength(JSON.stringify(tools.map(({name, description, inputSchema}) => ({name, description, inputSchema})))));
  const show = async (c: ModelClient, name: string, args: Record<string, unknown> = {}) => {
    const { answer, isError } = await c.ask(name, args);
    const text = JSON.stringify(answer);
    console.log(/arq_client/.test(text) ? '!!!LEAK' : 'ok', isError ? 'ERR' : '', name, JSON.stringify(args).slice(0, 150), '->', text.slice(0, 900));
    return answer;
  };
  await show(ada, 'who_am_i');
  await show(ada, 'join', { channel: 'lab:a' });
  await show(bob, 'join', { channel: 'lab:a' });
  await anon.join('lab:a');
  await show(ada, 'who', { channel: 'lab:a' });
  await show(ada, 'who', {});
  await show(ada, 'channels', {});
  await show(ada, 'channels', { room: 'lab' });
  await show(ada, 'publish', { channel: 'lab:a', data: { n: 1 } });
  await anon.publish('lab:a', { n: 2 });
  const page = await show(bob, 'read', { channel: 'lab:a' });
  await show(bob, 'reply', { to: page.messages[1].reply_to, data: { hi: 1 } });
  await show(ada, 'explain', { channel: 'lab:a', data: { x: 1 } });
  await show(ada, 'remember', { key: 'k', value: 1 });
  await show(bob, 'recall', { key: 'k' });
  await show(bob, 'recall', { prefix: 'k' });
  await show(bob, 'recall', { key: 'none' });
  await show(bob, 'remember', { key: 'k', value: 1, if_version: 0 });
  const c = await show(ada, 'claim', { keys: ['x'] });
  await show(bob, 'claim', { keys: ['x'] });
  await show(bob, 'release', { lease: c.lease });
  await show(bob, 'claim', { lease: c.lease });
  await show(ada, 'release', { lease: c.lease });
  await show(ada, 'publish', { channel: 'lab:w', data: { job: 1 } });
  const t = await show(bob, 'take', { place: 'lab:w#g', seconds: 5 });
  await show(bob, 'give_back', { work: [t.messages[0].work], reject: true, reason: 'bad' });
  await show(bob, 'done', { work: [t.messages[0].work] });
  await show(bob, 'read', { channel: 'lab:w.dead' });
  await show(ada, 'send', { to: 'bob', data: { m: 1 } });
  await show(ada, 'send', { to: 'sub:bob', data: { m: 1 } });
  await show(ada, 'send', { to: 'sub:nobody', data: { m: 1 } });
  await show(ada, 'send', { to: anon.id, data: { m: 1 } });
  const w = await show(bob, 'wait', { places: { inbox: '', 'lab:a': page.cursor }, seconds: 5 });
  await show(bob, 'give_back', { work: [w.messages.find((m: any) => m.work).work] });
  await show(ada, 'request', { to: 'lab:nobody', data: {}, seconds: 1 });
  await show(ada, 'request', { to: 'bob', data: {}, seconds: 1 });
  await show(ada, 'wait', { places: { 'new:never': '' }, seconds: 1 });
  await show(ada, 'wait', { places: { 'new:never': '', 'other:never': '0@', inbox: '' }, seconds: 1 });
  await show(ada, 'read', { channel: 'new:none' });
  await show(ada, 'read', { channel: 'new:none', cursor: '5@x' });
  await show(ada, 'wait', { places: { 'new:none': '5@x' }, seconds: 1 });
  // private message live to an mcp agent by sub
  anon.onRequest(() => ({ a: 1 }));
  await show(ada, 'request', { to: `sub:bob`, data: {}, seconds: 1 });
  await anon.close();
  // loops
  let to = (await show(ada, 'read', { channel: 'lab:a', limit: 1 })).messages[0].reply_to;
  await ada.close(); await bob.close();
});
