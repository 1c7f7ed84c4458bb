import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../../test/fixtures/start.ts';

let server: TestServer;
const peers: Peer[] = [];
let namespaces = 0;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_STORE_MAX_KEYS: '50', ARQONBUS_LOG_LEVEL: 'error' });
});
afterEach(async () => {
  for (const peer of peers) await clear(peer);
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
afterAll(() => server.stop());

async function connect(): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus);
  peers.push(peer);
  return peer;
}

function fresh(): string {
  namespaces += 1;
  return `n${namespaces}`;
}

async function clear(peer: Peer): Promise<void> {
  for (const namespace of ['default', ...Array.from({ length: namespaces }, (_, n) => `n${n + 1}`)]) {
    const { keys } = await peer.ask('op.store.list', { namespace });
    for (const key of keys) await peer.ask('op.store.delete', { key, namespace });
  }
}

describe('op.store', () => {
  it('keeps any JSON, with versions', async () => {
    const a = await connect();
    for (const [n, value] of [{ a: [1] }, 'text', 0, false, null, [[]]].entries()) {
      expect(await a.ask('op.store.set', { key: 'k', value })).toEqual({
        namespace: 'default',
        key: 'k',
        version: n + 1,
        updated: n > 0,
      });
      expect(await a.ask('op.store.get', { key: 'k' })).toEqual({ found: true, value, version: n + 1 });
    }
    expect(await a.ask('op.store.get', { key: 'other' })).toEqual({ found: false });
    expect(await a.ask('op.store.delete', { key: 'k' })).toEqual({ deleted: true });
    expect(await a.ask('op.store.delete', { key: 'k' })).toEqual({ deleted: false });
  });

  it('compares and sets: one of many wins', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    const { version } = await a.ask('op.store.set', { key: 'k', value: 1, if_version: 0 });
    const refused = await b.command('op.store.set', { key: 'k', value: 2, if_version: 0 });
    expect(refused).toMatchObject({ error_code: 'CONFLICT', payload: { current_version: version, retryable: true } });
    const race = await Promise.all(
      [a, b].map((peer) => peer.command('op.store.set', { key: 'k', value: peer.id, if_version: version })),
    );
    expect(race.map((one) => one.status).sort()).toEqual(['error', 'success']);
    const late = await a.command('op.store.delete', { key: 'k', if_version: version });
    expect(late).toMatchObject({ error_code: 'CONFLICT' });
    expect(await a.ask('op.store.delete', { key: 'k', if_version: late.payload.current_version })).toEqual({
      deleted: true,
    });
  });

  it('forgets after its time, and tells the watchers', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    const namespace = fresh();
    await b.ask('op.store.watch', { namespace, prefix: 'short' });
    const { version } = await a.ask('op.store.set', { key: 'short-lived', value: 1, namespace, ttl_seconds: 0.05 });
    await a.ask('op.store.set', { key: 'long-lived', value: 1, namespace, ttl_seconds: 600 });
    expect((await a.ask('op.store.get', { key: 'long-lived', namespace })).expires_at).toMatch(/Z$/);
    const notice = async (): Promise<object> =>
      (await b.next((frame) => frame.payload.event === 'store_changed')).payload;
    expect(await notice()).toMatchObject({ operation: 'set', key: 'short-lived', value: 1, version });
    expect(await notice()).toMatchObject({ operation: 'expire', key: 'short-lived' });
    expect(await a.ask('op.store.get', { key: 'short-lived', namespace })).toEqual({ found: false });
    // Whoever held it before cannot take it for its own once somebody else has it.
    await b.ask('op.store.set', { key: 'short-lived', value: 2, namespace, if_version: 0 });
    const late = await a.command('op.store.set', { key: 'short-lived', value: 1, namespace, if_version: version });
    expect(late).toMatchObject({ error_code: 'CONFLICT' });
  });

  it('lists in order, by prefix, in pages', async () => {
    const a = await connect();
    const namespace = fresh();
    for (const key of ['b', 'a', 'a/2', 'a/1', 'ä']) await a.ask('op.store.set', { key, value: 1, namespace });
    expect(await a.ask('op.store.list', { namespace })).toEqual({ keys: ['a', 'a/1', 'a/2', 'b', 'ä'], count: 5 });
    expect(await a.ask('op.store.list', { namespace, prefix: 'a/' })).toEqual({ keys: ['a/1', 'a/2'], count: 2 });
    const first = await a.ask('op.store.list', { namespace, limit: 2 });
    expect(first).toEqual({ keys: ['a', 'a/1'], count: 2, next: 'a/1' });
    expect((await a.ask('op.store.list', { namespace, limit: 3, after: first.next })).keys).toEqual(['a/2', 'b', 'ä']);
  });

  it('tells watchers of changes under their prefix, once, until they unwatch', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    const namespace = fresh();
    await b.ask('op.store.watch', { namespace, prefix: 'a' });
    await b.ask('op.store.watch', { namespace, prefix: 'ab' });
    await b.ask('op.store.watch', { namespace, prefix: 'ab' });
    await a.ask('op.store.set', { key: 'abc', value: { x: 1 }, namespace });
    await a.ask('op.store.set', { key: 'zzz', value: 1, namespace });
    await a.ask('op.store.delete', { key: 'abc', namespace });
    const told = (await b.received('system')).map(({ payload }) => [payload.operation, payload.key, payload.value]);
    expect(told).toEqual([
      ['set', 'abc', { x: 1 }],
      ['delete', 'abc', undefined],
    ]);
    expect(await b.ask('op.store.unwatch', { namespace })).toEqual({ watching: false, removed: true });
    expect(await b.ask('op.store.unwatch', { namespace })).toEqual({ watching: false, removed: false });
    await a.ask('op.store.set', { key: 'abc', value: 1, namespace });
    expect(await b.received('system')).toHaveLength(2);
  });

  it('has its limits, each with its name', async () => {
    const a = await connect();
    const namespace = fresh();
    const set = (args: object): ReturnType<Peer['command']> =>
      a.command('op.store.set', { namespace, key: 'k', value: 1, ...args });
    expect(await set({ value: 'x'.repeat(65_534) })).toMatchObject({ status: 'success' });
    expect(await set({ value: 'x'.repeat(65_535) })).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
      payload: { field: 'value' },
    });
    expect(await set({ key: 'ä'.repeat(128) })).toMatchObject({ status: 'success' });
    expect(await set({ key: `${'ä'.repeat(128)}a` })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'key' },
    });
    expect(await set({ key: '' })).toMatchObject({ payload: { field: 'key' } });
    expect(await set({ value: undefined })).toMatchObject({ payload: { field: 'value' } });
    expect(await set({ ttl_seconds: 0 })).toMatchObject({ payload: { field: 'ttl_seconds' } });
    expect(await set({ namespace: '../other' })).toMatchObject({ payload: { field: 'namespace' } });
    for (let n = 0; n < 48; n += 1) await set({ key: `k${n}` });
    expect(await set({ key: 'one-more' })).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 50 } });
    expect(await set({ key: 'k1', value: 2 })).toMatchObject({ status: 'success' });
    for (let n = 0; n < 100; n += 1) await a.ask('op.store.watch', { prefix: `p${n}` });
    expect(await a.command('op.store.watch', { prefix: 'more' })).toMatchObject({ error_code: 'LIMIT_EXCEEDED' });
  });
});
