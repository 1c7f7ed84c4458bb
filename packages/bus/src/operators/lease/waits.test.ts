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

  it('waits for 64 answers at most', async () => {
    const [a, b] = await Promise.all([Peer.connect(server.urls.bus), Peer.connect(server.urls.bus)]);
    await a.ask('op.lease.acquire', { keys: ['many'], ttl_seconds: 60 });
    const wait = (): ReturnType<Peer['command']> =>
      b.command('op.lease.acquire', { keys: ['many'], ttl_seconds: 60, wait_ms: 2_000 });
    const answers = await Promise.all(Array.from({ length: 65 }, wait));
    const codes = answers.map(({ error_code }) => error_code);
    expect(codes.filter((code) => code === 'CONFLICT')).toHaveLength(64);
    expect(answers.find(({ error_code }) => error_code === 'LIMIT_EXCEEDED')?.payload).toMatchObject({ limit: 64 });
    await Promise.all([a.close(), b.close()]);
  });
});
