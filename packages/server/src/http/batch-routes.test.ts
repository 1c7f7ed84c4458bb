import type { JsonObject } from '@arqonbus/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function batch(items: unknown): Promise<Answer> {
  return ask(`${server.urls.http}/v1/batch`, { body: JSON.stringify(items) });
}

describe('POST /v1/batch', () => {
  it('runs items in their order and answers each, whatever became of the others', async () => {
    const { status, json } = await batch([
      { publish: { room: 'batch:a', payload: { n: 1 } } },
      { publish: { room: 'no such name!' } },
      { command: 'history', args: { room: 'batch', channel: 'a' } },
      { command: 'nothing' },
      { command: 'ping', publish: {} },
      { publish: { room: 'batch:a', payload: { n: 2 } }, also: 1 },
    ]);
    expect(status).toBe(200);
    expect(json.results).toMatchObject([
      { ok: true, room: 'batch', channel: 'a', sequence: 1 },
      { ok: false, error_code: 'VALIDATION_ERROR', error: expect.any(String), details: { field: 'room' } },
      { ok: true, result: { messages: [{ payload: { n: 1 } }] } },
      { ok: false, error_code: 'COMMAND_NOT_FOUND' },
      { ok: false, error_code: 'VALIDATION_ERROR' },
      { ok: false, error_code: 'VALIDATION_ERROR', details: { field: 'also' } },
    ]);
  });

  it('takes one item at least', async () => {
    expect(await batch([])).toMatchObject({
      status: 400,
      json: {
        error: 'A batch is an array of 1 to 1000 publications and commands; this one has 0.',
        error_code: 'VALIDATION_ERROR',
        details: { field: 'body', limit: 1_000 },
      },
    });
    expect(await batch([{ command: 'ping' }])).toMatchObject({ status: 200, json: { results: [{ ok: true }] } });
  });

  it('takes 1,000 items and no more', async () => {
    const item = { publish: { room: 'batch:many', payload: {} } };
    const { json } = await batch(Array.from({ length: 1_000 }, () => item));
    expect(json.results).toHaveLength(1_000);
    expect(json.results[999]).toMatchObject({ ok: true, sequence: 1_000 });
    expect(await batch(Array.from({ length: 1_001 }, () => item))).toMatchObject({
      status: 400,
      json: { error_code: 'VALIDATION_ERROR', details: { limit: 1_000 } },
    });
    expect(await batch('text')).toMatchObject({ status: 400, json: { error_code: 'INVALID_JSON' } });
  });

  it('counts every item against the rate', async () => {
    const slow = await startTestServer({
      ARQONBUS_RATE_LIMIT_PER_SECOND: '1',
      ARQONBUS_RATE_LIMIT_BURST: '5',
    });
    const items = Array.from({ length: 20 }, () => ({ command: 'ping' }));
    const { json } = await ask(`${slow.urls.http}/v1/batch`, { body: JSON.stringify(items) });
    const refused = json.results.filter(({ error_code }: JsonObject) => error_code === 'RATE_LIMITED');
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(refused[0].details.retry_after_ms).toBeGreaterThan(0);
    await slow.stop();
  });
});

describe('POST /v1/publish to many channels', () => {
  const publish = (body: object): Promise<Answer> => ask(`${server.urls.http}/v1/publish`, { body });

  it('answers a result for each of them', async () => {
    const body = { room: 'many', channels: ['a', 'b', 'other:c', 'bad name'], payload: { n: 1 }, id: 'arq_to_many_1' };
    expect((await publish(body)).json.results).toMatchObject([
      { room: 'many', channel: 'a', ok: true, sequence: 1, id: 'arq_to_many_1', duplicate: false },
      { room: 'many', channel: 'b', ok: true, sequence: 1 },
      { room: 'other', channel: 'c', ok: true, sequence: 1 },
      { room: 'many', channel: 'bad name', ok: false, error_code: 'VALIDATION_ERROR' },
    ]);
    const again = (await publish(body)).json.results;
    expect(again.slice(0, 3)).toMatchObject([{ duplicate: true }, { duplicate: true }, { duplicate: true }]);
  });

  it.each([
    [{ channels: [] }],
    [{ channels: 'a:b' }],
    [{ channels: [7] }],
    [{ channels: Array.from({ length: 1_001 }, (_value, index) => `a:c${index}`) }],
    [{ channels: ['a:b'], channel: 'c' }],
    [{ channels: ['a:b'], type: 'private', to: ['x'] }],
  ])('refuses %.60j', async (body) => {
    expect(await publish(body)).toMatchObject({ status: 400, json: { details: { field: 'channels' } } });
  });

  it('keeps to the grants of each', async () => {
    const own = await startTestServer(WITH_AUTH);
    const headers = { Authorization: `Bearer ${await token({ role: 'user', publish: ['mine:*'] })}` };
    const body = { channels: ['mine:a', 'yours:a'], payload: {} };
    const { json } = await ask(`${own.urls.http}/v1/publish`, { headers, body });
    expect(json.results).toMatchObject([{ ok: true }, { ok: false, error_code: 'AUTHORIZATION_ERROR' }]);
    await own.stop();
  });
});
