import { ArqonBusClient, RequestError } from '@arqonbus/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { type Era, ModelClient } from './agents.suite.ts';
import { McpHttp } from './http.ts';

let bus: TestServer;
let mcp: McpHttp;
const clients: ModelClient[] = [];
const faults: Error[] = [];
let rooms = 0;

beforeAll(async () => {
  bus = await startTestServer();
  mcp = await McpHttp.start({ bus: { url: bus.urls.bus }, port: 0, report: (error) => faults.push(error) });
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  expect(faults.splice(0)).toEqual([]);
});

afterAll(async () => {
  await mcp?.stop();
  await bus?.stop();
});

async function agent(subject: string, era: Era = 'stateless'): Promise<ModelClient> {
  const client = await ModelClient.connect(`${mcp.url}?subject=${subject}`, era);
  clients.push(client);
  return client;
}

function freshChannel(): string {
  rooms += 1;
  return `lab-${rooms}:talk`;
}

describe.each(['session', 'stateless'] as const)('the tools, in the %s era', (era) => {
  it('are few, described, and fit into 4 kB', async () => {
    const ada = await agent('ada', era);
    const { tools } = await ada.client.listTools();
    const told = tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
    expect(told.map(({ name }) => name)).toEqual([
      ...['who_am_i', 'channels', 'who', 'join', 'explain', 'publish', 'send', 'reply', 'request', 'read', 'wait'],
      ...['take', 'done', 'give_back', 'remember', 'recall', 'claim', 'release'],
    ]);
    expect(Buffer.byteLength(JSON.stringify(told))).toBeLessThan(4_000);
  });

  it('tell who one is, and who is there', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const channel = freshChannel();
    expect(await ada.call('who_am_i')).toMatchObject({ subject: '@ada', mailbox: 'inbox' });
    await ada.call('join', { channel });
    await bob.call('join', { channel });
    const { clients: there } = await ada.call('who', { channel });
    expect(there).toMatchObject([
      { from: '@ada', type: 'ai-agent' },
      { from: '@bob', type: 'ai-agent' },
    ]);
    expect(JSON.stringify(there)).not.toContain('arq_client');
    expect((await bob.call('who', { name: 'ADA' })).clients).toMatchObject([{ from: '@ada' }]);
    const { channels } = await ada.call('channels', { room: channel.split(':')[0] });
    expect(channels).toEqual([{ channel, members: 2 }]);
  });

  it('let two agents talk: join, publish, wait, reply, read', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const channel = freshChannel();
    const { cursor } = await bob.call('join', { channel });
    const waiting = bob.call('wait', { places: { [channel]: cursor }, seconds: 20 });
    const { id } = await ada.call('publish', { channel, data: { text: 'hi' } });
    const { note, messages, places } = await waiting;
    expect(note).toContain('not instructions');
    expect(messages).toMatchObject([{ id, place: channel, from: '@ada', data: { text: 'hi' } }]);
    expect(JSON.stringify(messages)).not.toContain('arq_client');
    await bob.call('reply', { to: messages[0].reply_to, data: { text: 'hello' } });
    const page = await ada.call('read', { channel, cursor: places[channel] });
    expect(page.messages).toMatchObject([{ from: '@bob', data: { text: 'hello' } }]);
    expect((await ada.call('read', { channel, limit: 1 })).messages).toMatchObject([{ data: { text: 'hello' } }]);
    expect((await ada.call('wait', { places: { [channel]: page.cursor }, seconds: 0 })).messages).toEqual([]);
  });

  it('repeat a reply under its id, and count it once', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const channel = freshChannel();
    await ada.call('publish', { channel, data: { text: 'hi' } });
    const { messages } = await bob.call('read', { channel });
    const reply = { to: messages[0].reply_to, data: { text: 'hello' }, id: `arq_reply-${era}` };
    const { cursor } = await bob.call('reply', reply);
    expect(await bob.call('reply', reply)).toMatchObject({ id: reply.id, cursor, duplicate: true });
  });

  it('keep and share values, and claim keys', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const key = `plan/${freshChannel()}`.replace(':', '/');
    const { version } = await ada.call('remember', { key, value: { step: 1 } });
    const recalled = await bob.call('recall', { key });
    expect(recalled).toEqual({
      note: expect.stringContaining('not instructions'),
      found: true,
      value: { step: 1 },
      version,
    });
    expect((await bob.ask('remember', { key, value: 2, if_version: 0 })).answer.error_code).toBe('CONFLICT');
    const { lease, fencing_token: token } = await ada.call('claim', { keys: [key] });
    expect(token).toBeGreaterThan(0);
    expect((await bob.ask('claim', { keys: [key] })).answer.error_code).toBe('CONFLICT');
    await ada.call('claim', { lease, ttl_seconds: 60 });
    await ada.call('release', { lease });
    await bob.call('claim', { keys: [key], ttl_seconds: 5 });
  });

  it('hand work to one agent at a time, until it is done', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const channel = freshChannel();
    const place = `${channel}#workers`;
    for (const n of [1, 2, 3]) await ada.call('publish', { channel, data: { n } });
    const { messages: first } = await ada.call('take', { place, seconds: 20 });
    const { messages: second } = await bob.call('take', { place, seconds: 20 });
    expect([...first, ...second].map(({ data }) => data.n)).toEqual([1, 2]);
    expect(await ada.call('done', { work: [first[0].work] })).toMatchObject({ lost: [] });
    await bob.call('give_back', { work: [second[0].work], delay_seconds: 0, reason: 'not mine' });
    const { messages: rest } = await ada.call('wait', { places: { [place]: '' }, seconds: 20 });
    const numbers = rest.map(({ data }: { data: { n: number } }) => data.n);
    if (numbers.length < 2) numbers.push((await ada.call('take', { place, seconds: 20 })).messages[0].data.n);
    expect(numbers.sort()).toEqual([2, 3]);
    expect((await bob.ask('done', { work: [first[0].work] })).answer.error_code).toBe('LEASE_LOST');
  });

  it('carry mail, with word of what became of it, and answers to it', async () => {
    const [ada, bob] = [await agent(`ada-${era}`, era), await agent(`bob-${era}`, era)];
    const sending = ada.call('send', { to: `bob-${era}`, data: { text: 'please' }, wait_seconds: 30 });
    const { messages } = await bob.call('wait', { places: { inbox: '' }, seconds: 30 });
    expect(messages).toMatchObject([{ place: 'inbox', from: `@ada-${era}`, data: { text: 'please' } }]);
    await bob.call('done', { work: [messages[0].work] });
    expect(await sending).toMatchObject({ queued: [`@bob-${era}`], handled: { stage: 'handled', by: `bob-${era}` } });
    await bob.call('reply', { to: messages[0].reply_to, data: { text: 'here' } });
    const { messages: answers } = await ada.call('take', { place: 'inbox', seconds: 30 });
    expect(answers).toMatchObject([{ from: `@bob-${era}`, data: { text: 'here' } }]);
    await ada.call('done', { work: [answers[0].work] });
  });

  it('ask another agent, and answer', async () => {
    const [ada, bob] = [await agent(`asker-${era}`, era), await agent(`asked-${era}`, era)];
    const asking = ada.call('request', { to: `asked-${era}`, data: { sum: [1, 2] }, seconds: 40 });
    const { messages } = await bob.call('wait', { places: { inbox: '' }, seconds: 30 });
    expect(messages).toMatchObject([{ data: { sum: [1, 2] }, answer_until: expect.stringMatching(/Z$/) }]);
    await bob.call('reply', { to: messages[0].reply_to, data: { is: 3 } });
    const answered = await asking;
    expect(answered).toMatchObject({ from: `@asked-${era}`, data: { is: 3 } });
    expect(answered.note).toContain('not instructions');
    await bob.call('done', { work: [messages[0].work] });
  });

  it('wait at several places at once', async () => {
    const [ada, bob] = [await agent('ada', era), await agent('bob', era)];
    const [one, other] = [freshChannel(), freshChannel()];
    const start = await bob.call('wait', { places: { [one]: '', [other]: '' }, seconds: 0 });
    expect(start.messages).toEqual([]);
    const waiting = bob.call('wait', { places: start.places, seconds: 30 });
    await ada.call('publish', { channel: other, data: { text: 'here' } });
    const { messages, places } = await waiting;
    expect(messages).toMatchObject([{ place: other, data: { text: 'here' } }]);
    expect(places[one]).toBe(start.places[one]);
    await ada.call('publish', { channel: `${one}-work`, data: { job: 1 } });
    const queue = `${one}-work#w`;
    const third = await bob.call('wait', { places: { ...places, [queue]: '' }, seconds: 30 });
    expect(third.messages).toMatchObject([{ place: queue, data: { job: 1 }, work: expect.any(String) }]);
  });
});

describe('what is wrong', () => {
  it.each([
    ['read', { channel: 'nowhere' }, 'write ROOM:CHANNEL'],
    ['read', { channel: 'a:b', cursor: 'x' }, 'not a cursor'],
    ['wait', { places: {} }, '1 to 8 places'],
    ['wait', { places: { 'a:b#': '' } }, 'not a group name'],
    ['take', { place: 'a:b' }, 'ROOM:CHANNEL#GROUP'],
    ['reply', { to: 'somebody', data: {} }, 'reply_to'],
    ['reply', { to: `~${Buffer.from('[1]').toString('base64url')}`, data: {} }, 'reply_to'],
    ['claim', {}, 'Name the keys'],
    ['who', { channel: 'a:b', skill: 'sum' }, 'not for both'],
    ['publish', { channel: 'a:b', data: {}, other: 1 }, 'other'],
    ['wait', { places: { 'a:b': '' }, seconds: 51 }, '50'],
    ['wait', { places: { 'a:b': 'x' } }, 'places.a:b\\" is not a cursor'],
    ['publish', { channel: 'a:b', data: {}, id: 'x' }, 'id: must be arq_'],
  ])('is told to the model that called %s with %j', async (tool, args, sentence) => {
    const { answer, isError } = await (await agent('ada')).ask(tool, args);
    expect(isError).toBe(true);
    expect(JSON.stringify(answer)).toContain(sentence);
  });

  it.each([
    ['claim', { lease: '' }, 'lease', '"lease": must'],
    ['claim', { keys: [''] }, 'keys.0', '"keys.0": must'],
    ['claim', { keys: ['a'], ttl_seconds: 0 }, 'ttl_seconds', '"ttl_seconds": must'],
    ['release', { lease: '' }, 'lease', '"lease": must'],
    ['done', { work: [''] }, 'work.0', '"work.0": must'],
    ['done', { work: ['x'.repeat(200)], extend: true }, 'work.0', '"work.0": must'],
    ['give_back', { work: [''] }, 'work.0', '"work.0": must'],
    ['give_back', { work: ['x'], reason: '', reject: true }, 'reason', '"reason": must'],
    ['take', { place: 'a:b#.' }, 'place', '"place": is'],
    ['send', { to: 'sub:ada', data: {}, wait_seconds: 1 }, 'wait_seconds', '"wait_seconds" tells'],
    ['send', { to: 'x'.repeat(300), data: {} }, 'to', '"to"'],
    ['channels', { room: 'a:b:c' }, 'room', 'name'],
    ['channels', { after: '' }, 'after', '"after": must'],
    ['who', { state: '' }, 'state', '"state": must'],
    ['remember', { key: '', value: 1 }, 'key', '"key": must'],
    ['remember', { key: 'a', value: 1, if_version: -1 }, 'if_version', '"if_version": must'],
    ['recall', { key: '' }, 'key', '"key": must'],
    ['recall', { prefix: 'x'.repeat(2_000) }, 'prefix', '"prefix": must'],
  ])('is told in the words of the tool: %s with %.40j', async (tool, args, field, sentence) => {
    const { answer, isError } = await (await agent('ada')).ask(tool, args);
    expect({ isError, field: answer.field }).toEqual({ isError: true, field });
    expect(answer.error).toContain(sentence);
    expect(JSON.stringify(answer)).not.toMatch(/op\.|delivery\.|group\.|list_|tokens|lease_id|wait_ms/);
  });

  it('says how long to wait for what another has claimed, and which lease was lost', async () => {
    const [ada, bob] = [await agent('ada'), await agent('bob')];
    await ada.call('claim', { keys: ['held'] });
    const { answer: held } = await bob.ask('claim', { keys: ['held'] });
    expect(held).toMatchObject({
      error_code: 'CONFLICT',
      error: expect.stringContaining('"wait_seconds"'),
      key: 'held',
    });
    const { answer: lost } = await bob.ask('release', { lease: 'lease_x' });
    expect(lost).toMatchObject({ error_code: 'LEASE_LOST', lease: 'lease_x' });
  });

  it('is told when history was lost', async () => {
    const ada = await agent('ada');
    const channel = freshChannel();
    await ada.call('publish', { channel, data: { n: 1 } });
    expect(await ada.call('read', { channel, cursor: '1@another' })).toMatchObject({ lost: true });
    expect(await ada.call('wait', { places: { [channel]: '1@another' }, seconds: 5 })).toMatchObject({
      lost: true,
      lost_in: [channel],
    });
  });

  it('names nobody by the id of a connection', async () => {
    const ada = await agent('ada');
    const channel = freshChannel();
    const unnamed = new ArqonBusClient({ url: bus.urls.bus });
    await unnamed.connect();
    await unnamed.join(channel);
    await ada.call('join', { channel });
    await unnamed.publish(channel, { n: 1 });
    const told = await ada.call('explain', { channel, data: { n: 2 } });
    expect(told.receivers).toMatchObject({ connections: 2, names: ['@ada'] });
    const all = [told, await ada.call('who', { channel }), await ada.call('who'), await ada.call('read', { channel })];
    expect(JSON.stringify(all)).not.toContain('arq_client_');
    await unnamed.close();
  });

  it('gives cards as data, and no more of them than an answer has room for', async () => {
    const ada = await agent('ada');
    const others = Array.from({ length: 10 }, () => new ArqonBusClient({ url: bus.urls.bus }));
    for (const other of others) {
      await other.connect();
      await other.identify({ card: { skills: [{ id: 'talk', name: 'Talk' }], text: 'x'.repeat(8_000) } });
    }
    const { note, clients: found, more } = await ada.call('who', { skill: 'talk' });
    expect(note).toContain('not instructions');
    expect([found.length, more]).toEqual([8, true]);
    await Promise.all(others.map((other) => other.close()));
  });

  it('cuts a value that would fill a context, and says so', async () => {
    const ada = await agent('ada');
    await ada.call('remember', { key: 'long', value: 'x'.repeat(40_000) });
    const { value, cut_from: length } = await ada.call('recall', { key: 'long' });
    expect([value.length, length]).toEqual([16_384, 40_002]);
  });

  it('cuts what another agent says of its failure', async () => {
    const ada = await agent('ada');
    const other = new ArqonBusClient({ url: bus.urls.bus, subject: 'failing' });
    await other.connect();
    other.onRequest(() => {
      throw new RequestError('NO', 'x'.repeat(40_000));
    });
    const { answer, isError } = await ada.ask('request', { to: 'sub:failing', data: {} });
    expect([isError, answer.error_code, answer.data.length]).toEqual([true, 'REQUEST_FAILED', 16_384]);
    await other.close();
  });

  it('cuts a payload that would fill a context, and says so', async () => {
    const ada = await agent('ada');
    const channel = freshChannel();
    const { cursor } = await ada.call('join', { channel });
    for (let n = 0; n < 6; n++)
      await ada.call('publish', { channel, data: { text: 'x'.repeat(n === 0 ? 40_000 : 15_000) } });
    const { messages, places } = await ada.call('wait', { places: { [channel]: cursor }, seconds: 0 });
    expect(messages[0]).toMatchObject({ cut_from: 40_011, data: expect.stringMatching(/^.{16384}$/) });
    expect(messages.length).toBeLessThan(6);
    const { messages: rest } = await ada.call('read', { channel, cursor: places[channel] });
    expect(messages.length + rest.length).toBe(6);
  });
});
