import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../../test/fixtures/start.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error' });
});
afterAll(() => server.stop());

describe('a connection that waits for a lease', () => {
  it('is answered everything else meanwhile, and the lease when it has it', async () => {
    const [a, b] = await Promise.all([Peer.connect(server.urls.bus), Peer.connect(server.urls.bus)]);
    const { lease_id } = await a.ask('op.lease.acquire', { keys: ['k'], ttl_seconds: 60 });
    const waiting = b.ask('op.lease.acquire', { keys: ['k'], ttl_seconds: 60, wait_ms: 30_000 });
    expect(await b.ask('ping', {})).toMatchObject({ pong: true });
    await a.ask('op.lease.release', { lease_id });
    expect(await waiting).toMatchObject({ keys: ['k'] });
    await Promise.all([a.close(), b.close()]);
  });

  it('is answered when the server is drained, which does not wait for the keys', async () => {
    const own = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error' });
    const [a, b] = await Promise.all([Peer.connect(own.urls.bus), Peer.connect(own.urls.bus)]);
    await a.ask('op.lease.acquire', { keys: ['k'], ttl_seconds: 60 });
    const waiting = b.command('op.lease.acquire', { keys: ['k'], ttl_seconds: 60, wait_ms: 55_000 });
    await b.ask('ping', {});
    const began = performance.now();
    await own.stop();
    expect(await waiting).toMatchObject({ error_code: 'CONFLICT' });
    expect(performance.now() - began).toBeLessThan(4_000);
  });
});
