import specs from '@asyncapi/specs';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask } from '../../../../test/fixtures/http.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

const ORDER = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } };
const RULES = [
  { match: 'orders:*', schema: { schema: ORDER, mode: 'enforce' } },
  { match: 'secret:*', schema: { schema: true, mode: 'warn' } },
];

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ ...WITH_AUTH, ARQONBUS_RULES: JSON.stringify(RULES) });
});
afterAll(() => server.stop());

const bearer = async (request: Parameters<typeof token>[0]) => ({ authorization: `Bearer ${await token(request)}` });

it('tells the typed channels that the caller may read, as AsyncAPI', async () => {
  const headers = await bearer({ sub: 'ada', subscribe: ['orders:*'] });
  const { status, json } = await ask(`${server.urls.http}/v1/asyncapi`, { headers });
  expect(status).toBe(200);
  expect(Object.values(json.channels)).toEqual([
    { address: 'orders:*', messages: { event: { $ref: '#/components/messages/channel1' } } },
  ]);
  expect(json.components.messages.channel1.payload.schema).toEqual(ORDER);
  // The specification's schema brings the meta-schema of draft 7 along.
  const bare = new Ajv({ meta: false, validateSchema: false, strict: false, validateFormats: false });
  const check = bare.compile(specs.schemas['3.0.0'] as object);
  expect([check(json), check.errors]).toEqual([true, null]);
  const all = await ask(`${server.urls.http}/v1/asyncapi`, { headers: await bearer({ sub: 'bob', role: 'admin' }) });
  expect(Object.keys(all.json.channels)).toHaveLength(2);
  expect((await ask(`${server.urls.http}/v1/asyncapi`)).status).toBe(401);
});

it('explains over HTTP what would come of an event, to admins', async () => {
  const body = { room: 'orders', channel: 'new', payload: { id: 'x' } };
  const explain = async (role: string) =>
    ask(`${server.urls.http}/v1/explain`, { headers: await bearer({ sub: 'ada', role }), body });
  expect((await explain('user')).status).toBe(403);
  const { status, json } = await explain('admin');
  expect([status, json.publish.error_code]).toEqual([200, 'SCHEMA_MISMATCH']);
});
