import type { Principal } from '@arqonbus/bus';
import { anonymousPrincipal, SubjectBuckets } from '@arqonbus/bus';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';
import { HttpRates } from './rates.ts';

const KEY = 'the-key-of-this-test';

describe('the rates of HTTP callers', () => {
  const of = (subject: string | null, tenant = 'acme'): Principal => ({
    ...anonymousPrincipal('admin', false),
    subject,
    tenant,
  });
  let now = 0;
  const told: string[] = [];
  const rates = (ratePerSecond: number, burst: number, subjects: SubjectBuckets | null = null): HttpRates =>
    new HttpRates({
      ratePerSecond,
      burst,
      subjects,
      now: () => now,
      onExceeded: ({ subject }, address) => told.push(subject ?? address),
    });
  /** How many requests go through before one is refused. */
  const drain = (limits: HttpRates, principal: Principal, address = '10.0.0.1'): number => {
    for (let count = 0; count < 100; count += 1) {
      try {
        limits.charge(principal, address);
      } catch (error) {
        expect(error).toMatchObject({ code: 'RATE_LIMITED', details: { retry_after_ms: expect.any(Number) } });
        return count;
      }
    }
    return 100;
  };

  afterEach(() => {
    now = 0;
    told.splice(0);
  });

  it('are those of a subject in its tenant, wherever it calls from', () => {
    const limits = rates(10, 3);
    expect(drain(limits, of('ada'))).toBe(3);
    expect(drain(limits, of('ada'), '10.0.0.2')).toBe(0);
    expect(drain(limits, of('eve'))).toBe(3);
    expect(drain(limits, of('ada', 'other'))).toBe(3);
    now = 100;
    expect(drain(limits, of('ada'))).toBe(1);
  });

  it('are those of an address without a subject; of IPv6 a network counts as one', () => {
    const limits = rates(10, 3);
    expect(drain(limits, of(null))).toBe(3);
    expect(drain(limits, of(null, 'other'), '::ffff:10.0.0.1')).toBe(0);
    expect(drain(limits, of(null), '10.0.0.2')).toBe(3);
    expect(drain(limits, of(null), '2001:db8::1')).toBe(3);
    expect(drain(limits, of(null), '2001:db8::2')).toBe(0);
    expect(drain(limits, of('10.0.0.1'))).toBe(3);
  });

  it('are shared with the connections of a subject', () => {
    const subjects = new SubjectBuckets(10, 4);
    const connection = subjects.acquire('acme', 'ada', now);
    const limits = rates(0, 0, subjects);
    expect(connection.take(now)).toBe(true);
    expect(drain(limits, of('ada'))).toBe(3);
    expect(connection.take(now)).toBe(false);
    expect(drain(rates(10, 2, subjects), of('eve'))).toBe(2);
  });

  it('do not hold where none is set', () => {
    expect(drain(rates(0, 0), of('ada'))).toBe(100);
  });

  it('are told of once, until they are kept again', () => {
    const limits = rates(10, 3);
    for (let index = 0; index < 3; index += 1) drain(limits, of('ada'));
    drain(limits, of(null));
    expect(told).toEqual(['ada', '10.0.0.1']);
    now = 100;
    drain(limits, of('ada'));
    expect(told).toEqual(['ada', '10.0.0.1', 'ada']);
  });
});

describe('a server with a rate', () => {
  let server: TestServer;
  afterEach(() => server.stop());
  const limited = { ARQONBUS_RATE_LIMIT_PER_SECOND: '0.01', ARQONBUS_RATE_LIMIT_BURST: '4' };
  const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    ask(server.urls.http + path, { headers });
  const bearer = async (...request: Parameters<typeof token>): Promise<Record<string, string>> => ({
    Authorization: `Bearer ${await token(...request)}`,
  });

  it('answers 429 and says when to come back, whatever is asked for, and leaves others alone', async () => {
    server = await startTestServer({ ...WITH_AUTH, ...limited, ARQONBUS_HTTP_API_KEY: KEY });
    const watcher = await Watcher.connect(server.urls.telemetry, await token({ role: 'admin', tenant: '*' }));
    const ada = await bearer({ role: 'admin', sub: 'ada' });
    const publish = { headers: ada, body: { room: 'lab', channel: 'x' } };
    for (const path of ['/status', '/v1/rooms']) expect(await get(path, ada)).toMatchObject({ status: 200 });
    for (let n = 0; n < 2; n += 1) {
      expect(await ask(`${server.urls.http}/v1/publish`, publish)).toMatchObject({ status: 200 });
    }
    for (const refused of [await get('/status', ada), await ask(`${server.urls.http}/v1/publish`, publish)]) {
      const { retry_after_ms, ...details } = refused.json.details;
      expect(refused).toMatchObject({ status: 429, json: { error_code: 'RATE_LIMITED' } });
      expect(details).toEqual({ retryable: true });
      expect(retry_after_ms).toBeGreaterThan(90_000);
      expect(refused.headers['retry-after']).toBe(String(Math.ceil(retry_after_ms / 1000)));
    }
    expect((await watcher.event('rate_limited')).payload).toEqual({ subject: 'ada', address: '127.0.0.1' });
    expect(await watcher.seen()).not.toContain('rate_limited');
    for (const other of [
      await bearer({ role: 'admin', sub: 'eve' }),
      await bearer({ role: 'admin' }),
      { 'X-API-Key': KEY },
    ]) {
      expect(await get('/status', other)).toMatchObject({ status: 200 });
    }
    for (let n = 0; n < 6; n += 1) expect(await get('/health')).toMatchObject({ status: 200 });
  });

  it('counts callers that are not allowed in either, and an operator under one name for all tenants', async () => {
    server = await startTestServer({ ...WITH_AUTH, ...limited, ARQONBUS_HTTP_API_KEY: KEY });
    const user = await bearer({ role: 'guest', sub: 'bob' });
    const key = { 'X-API-Key': KEY };
    for (let n = 0; n < 4; n += 1) {
      expect(await get('/status', user)).toMatchObject({ status: 403 });
      expect(await get(`/v1/clients?tenant=t${n}`, key)).toMatchObject({ status: 200 });
    }
    expect(await get('/status', user)).toMatchObject({ status: 429 });
    expect(await get('/v1/clients?tenant=t9', key)).toMatchObject({ status: 429 });
  });

  it('counts callers of this machine without credentials by their address', async () => {
    server = await startTestServer(limited);
    for (let n = 0; n < 4; n += 1) expect(await get('/status')).toMatchObject({ status: 200 });
    expect(await get('/status')).toMatchObject({ status: 429 });
  });

  it('counts what a subject sends over its connections and over HTTP together', async () => {
    server = await startTestServer({ ...WITH_AUTH, ARQONBUS_AUTH_SUBJECT_RATE_LIMIT_PER_SECOND: '0.01' });
    const ada = await bearer({ role: 'admin', sub: 'ada' });
    const peer = await Peer.connect(server.urls.bus, {}, { headers: ada });
    expect(await peer.command('ping')).toMatchObject({ status: 'success' });
    expect(await get('/status', ada)).toMatchObject({ status: 429 });
    expect(await get('/status', await bearer({ role: 'admin', sub: 'eve' }))).toMatchObject({ status: 200 });
    await peer.close();
  });
});
