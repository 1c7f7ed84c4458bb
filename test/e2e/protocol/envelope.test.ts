import { describe, expect, it } from 'vitest';
import { Peer } from '../../fixtures/peer.ts';
import { shareServer } from '../../fixtures/shared-server.ts';
import { startTestServer } from '../../fixtures/start.ts';

const here = { room: 'envelopes', channel: 'x' };

const shared = shareServer();
const { connect } = shared;

describe('envelopes', () => {
  it('P2.1 what may be missing is filled in', async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    a.sendRaw(JSON.stringify({ type: 'event', ...here }));
    const event = await b.message();
    expect(event).toMatchObject({ version: '1.0', id: expect.stringMatching(/^arq_/), payload: {} });
    a.sendRaw(JSON.stringify({ version: '2.0', type: 'event', id: 'arq_v2', ...here }));
    expect(await a.answer('arq_v2')).toMatchObject({ type: 'error', error_code: 'UNSUPPORTED_VERSION' });
  });

  it("P2.2 from and timestamp are the server's", async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    const timestamp = '2020-01-01T00:00:00Z';
    a.send({ type: 'event', ...here, from: 'arqonbus', sender: 'x', from_client: 'y', timestamp });
    const event = await b.message();
    expect(event.from).toBe(a.id);
    expect(event.timestamp).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(event.timestamp > timestamp).toBe(true);
    expect(event.metadata?.client_timestamp).toBe(timestamp);
    expect(event).not.toHaveProperty('sender');
    expect(await a.publish({ ...here, timestamp: 'soon' })).toMatchObject({ payload: { field: 'timestamp' } });
  });

  it('P2.3 the aliases are understood', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    a.send({ type: 'private', to_client: b.id, payload: { n: 1 } });
    a.send({ type: 'private', payload: { target: b.id, n: 2 } });
    expect(await b.message()).toMatchObject({ to: b.id, payload: { n: 1 } });
    expect(await b.message()).toMatchObject({ to: b.id, payload: { target: b.id, n: 2 } });
    const id = a.send({ type: 'command', payload: { command: 'ping', parameters: { echo: 'hi' } } });
    expect(await a.answer(id)).toMatchObject({
      command: 'ping',
      status: 'success',
      payload: { pong: true, echo: 'hi' },
    });
  });

  it('P2.4 metadata of the server is dropped, the rest checked or carried', async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const metadata = {
      sequence: 99,
      replayed: true,
      casil: 1,
      iteration: 4,
      vector_clock: { a: 1 },
      traceparent,
      own: [1],
    };
    a.send({ type: 'event', ...here, metadata });
    const { metadata: got } = await b.message();
    expect(got).toEqual({
      vector_clock: { a: 1 },
      traceparent,
      own: [1],
      sender: { type: 'service', role: 'admin' },
      sequence: expect.any(Number),
      epoch: expect.any(String),
    });
    expect(got?.sequence).not.toBe(99);
    for (const bad of [{ vector_clock: { a: 1.5 } }, { causal_parent_id: 'x' }, { traceparent: 'x' }]) {
      expect(await a.publish({ ...here, metadata: bad })).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    }
  });

  it('P2.5 P2.6 unknown fields are dropped, or refused in strict mode', async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    a.send({ type: 'event', ...here, colour: 'red' });
    expect(await b.message()).not.toHaveProperty('colour');
    const strict = await startTestServer({ ARQONBUS_STRICT_ENVELOPE: 'true' });
    const c = await Peer.connect(strict.urls.bus);
    expect(await c.publish({ ...here, payload: {}, colour: 'red' })).toMatchObject({ payload: { field: 'colour' } });
    expect(await c.publish({ ...here })).toMatchObject({ payload: { field: 'payload' } });
    expect(await c.publish({ ...here, payload: {} })).toMatchObject({ type: 'ack' });
    await c.close();
    await strict.stop();
  });

  it('P2.7 payloads arrive as ECMAScript leaves them', async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    const raws: string[] = [];
    b.ws.on('message', (data) => raws.push(String(data)));
    const payload =
      '{"z":1,"a":1e21,"n":-0,"big":12345678901234567890,"u":"\\u2028\\ud83d\\ude00\\ud800","__proto__":{"polluted":true},"":null,"10":1,"9":2}';
    a.sendRaw(`{"version":"1.0","id":"arq_raw","type":"event","room":"envelopes","channel":"x","payload":${payload}}`);
    await b.message();
    const arrives = JSON.stringify(JSON.parse(payload.replace('\\ud800', '\\ufffd')));
    const raw = raws.find((text) => text.includes('arq_raw')) as string;
    expect(raw).toContain(`"payload":${arrives},"metadata"`);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    const { messages } = await b.ask('history', here);
    expect(JSON.stringify(messages.at(-1).payload)).toBe(arrives);
  });

  it('P2.7 half of a surrogate pair arrives nowhere', async () => {
    const half = '\ud83d';
    const [a, b] = await Promise.all([connect(), connect(here)]);
    const raws: string[] = [];
    // The bytes that UTF-8 would have for half of a pair, if it had any.
    const c = await Peer.connect(`${shared.url}/?room=envelopes&channel=x&screen_name=cut%ED%A0%BD`);
    raws.push(JSON.stringify(await c.ask('channel_info', here)));
    expect(raws[0]).toContain('cut\ufffd');
    await c.close();
    for (const peer of [a, b]) peer.ws.on('message', (data) => raws.push(String(data)));
    const value = { [half]: [half, { deep: `x${half}` }], whole: '😀' };
    await a.ask('identify', { screen_name: half, personality: half });
    await a.publish({ ...here, payload: value, metadata: { own: half, [half]: 1 } });
    await a.publish({ ...here, payload: { text: half }, timestamp: half });
    a.send({ type: 'private', to: b.id, payload: value });
    await a.ask('op.store.set', { namespace: 'halves', key: 'k', value });
    expect((await a.ask('op.store.get', { namespace: 'halves', key: 'k' })).value).toEqual({
      '\ufffd': ['\ufffd', { deep: 'x\ufffd' }],
      whole: '😀',
    });
    await a.ask('ping', { echo: half });
    await a.command(half);
    await a.command('ping', { [half]: 1 });
    await a.publish({ type: half });
    await a.publish({ ...here, room: `${'x'.repeat(139)}😀` });
    await b.ask('channel_info', here);
    await b.ask('history', here);
    await b.next((frame) => frame.type === 'private');
    // Half of a pair can travel in JSON text as an escape alone.
    expect(raws.filter((text) => /\\ud[89a-f]/i.test(text))).toEqual([]);
    expect(raws.length).toBeGreaterThan(10);
  });

  it('P2.8 nesting ends at 64 levels', async () => {
    const a = await connect();
    const nested = (depth: number): object => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);
    expect(await a.publish({ ...here, payload: nested(64) })).toMatchObject({ type: 'ack' });
    expect(await a.publish({ ...here, payload: nested(65) })).toMatchObject({ payload: { field: 'payload' } });
  });

  it('P2.8 a number that no double holds is refused, wherever it stands', async () => {
    const a = await connect();
    const head = '{"version":"1.0","id":"arq_huge","room":"envelopes","channel":"x"';
    for (const [rest, field] of [
      ['"type":"event","payload":{"a":{"b":[1e400]}}', 'payload.a.b.0'],
      ['"type":"private","to":"x","payload":{"a":-1e400}', 'payload.a'],
      ['"type":"telemetry","payload":{"eventType":"x","payload":{"a":1e400}}', 'payload.payload.a'],
      ['"type":"command","command":"op.store.set","args":{"key":"k","value":1e400}', 'args.value'],
    ]) {
      a.sendRaw(`${head},${rest}}`);
      expect(await a.answer('arq_huge')).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field } });
    }
  });
});

describe('types', () => {
  it('P3.1 message is delivered as event', async () => {
    const [a, b] = await Promise.all([connect(), connect(here)]);
    a.send({ type: 'message', ...here });
    expect((await b.message()).type).toBe('event');
  });

  it('P3.3 a command gets exactly one response, a malformed one too', async () => {
    const a = await connect();
    const ids = [
      a.send({ type: 'command', command: 'ping' }),
      a.send({ type: 'command', command: 'nonsense' }),
      a.send({ type: 'command', command: 'history' }),
      a.send({ type: 'command', command: 'ping', args: [] }),
      a.send({ type: 'command' }),
    ];
    const answers = (await a.received('command_response')).filter((one) => ids.includes(one.request_id as string));
    expect(answers.map((one) => [one.request_id, one.status, one.error_code])).toEqual([
      [ids[0], 'success', undefined],
      [ids[1], 'error', 'COMMAND_NOT_FOUND'],
      [ids[2], 'error', 'VALIDATION_ERROR'],
      [ids[3], 'error', 'VALIDATION_ERROR'],
      [ids[4], 'error', 'VALIDATION_ERROR'],
    ]);
    expect(await a.received('error')).toEqual([]);
  });

  it("P3.4 the server's types and unknown ones are refused", async () => {
    const a = await connect();
    for (const type of ['system', 'ack', 'error', 'command_response']) {
      expect(await a.publish({ type })).toMatchObject({ type: 'error', error_code: 'VALIDATION_ERROR' });
    }
    expect(await a.publish({ type: 'shout' })).toMatchObject({ error_code: 'UNKNOWN_TYPE' });
    expect(await a.publish({ type: undefined })).toMatchObject({ payload: { field: 'type' } });
  });

  it('P3.5 telemetry goes to its stream, whatever address it names', async () => {
    const [a, b] = await Promise.all([connect(), connect({ room: 'integriguard', channel: 'telemetry-stream' })]);
    const payload = { eventType: 'my.event', payload: { n: 1 }, extra: true };
    a.send({ type: 'telemetry', room: 'elsewhere', channel: 'y', payload });
    const event = await b.next((frame) => frame.type === 'telemetry' && frame.from === a.id);
    expect(event).toMatchObject({ room: 'integriguard', channel: 'telemetry-stream', payload });
    for (const bad of [
      { eventType: 'a b', payload: {} },
      { eventType: 7, payload: {} },
      { eventType: 'x', payload: [] },
      {},
    ]) {
      expect(await a.publish({ type: 'telemetry', payload: bad })).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    }
  });

  it('P3.6 P8.1 a refusal says what is wrong, and the connection stays', async () => {
    const a = await connect();
    const refused = await a.publish({ room: 'a b' });
    expect(refused).toMatchObject({ type: 'error', from: 'arqonbus', error_code: 'VALIDATION_ERROR' });
    expect(refused.error).toMatch(/letters, digits/);
    expect(refused.payload).toMatchObject({ field: 'room', retryable: false });
    a.sendRaw('{nope');
    expect(await a.next((frame) => frame.type === 'error')).toMatchObject({ error_code: 'INVALID_JSON' });
    expect(await a.ask('ping')).toMatchObject({ pong: true });
  });
});
