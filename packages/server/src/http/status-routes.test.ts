import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

let server: TestServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-metrics-'));
  server = await startTestServer({
    ARQONBUS_CASIL_ENABLED: 'true',
    ARQONBUS_STORAGE_BACKEND: 'sqlite',
    ARQONBUS_SQLITE_PATH: join(directory, 'bus.db'),
  });
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

/** The values of a scrape by name and labels. */
async function scrape(path = '/metrics'): Promise<Map<string, number>> {
  const { status, headers, text } = await ask(server.urls.http + path);
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('GET /metrics', () => {
  it('tells what really happened', async () => {
    const before = await scrape();
    const [peer, other, watcher] = [
      await Peer.connect(server.urls.bus),
      await Peer.connect(server.urls.bus),
      await Watcher.connect(server.urls.telemetry),
    ];
    await other.ask('join_channel', { room: 'lab', channel: 'x' });
    for (let n = 0; n < 70; n += 1) await peer.publish({ room: 'lab', channel: 'x', payload: { n } });
    await peer.publish({ payload: {} });
    const after = await scrape('/metrics/prometheus');
    const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
    expect(grown('arqonbus_active_clients')).toBe(2);
    expect(grown('arqonbus_websocket_connections')).toBe(2);
    expect(grown('arqonbus_telemetry_connections')).toBe(1);
    expect(grown('arqonbus_messages_received_total')).toBe(72);
    expect(grown('arqonbus_messages_sent_total')).toBe(70);
    expect(grown('arqonbus_errors_total{code="NO_ROUTE"}')).toBe(1);
    expect(grown('arqonbus_rooms_total')).toBe(1);
    expect(grown('arqonbus_channels_total')).toBe(1);
    expect(grown('arqonbus_command_duration_seconds_count{command="join_channel"}')).toBe(1);
    expect(grown('arqonbus_delivery_duration_seconds_count')).toBeGreaterThanOrEqual(1);
    expect(grown('arqonbus_casil_inspection_seconds_count')).toBe(71);
    const allowed = 'arqonbus_casil_decisions_total{decision="ALLOW",reason="CASIL_POLICY_ALLOWED"}';
    expect(grown(allowed)).toBe(71);
    expect(
      grown('arqonbus_storage_operation_seconds_count{backend="sqlite",operation="publish"}'),
    ).toBeGreaterThanOrEqual(70);
    expect(after.get('arqonbus_uptime_seconds')).toBeGreaterThan(0);
    await Promise.all([peer.close(), other.close(), watcher.close()]);
    expect((await scrape()).get('arqonbus_active_clients')).toBe(0);
  });

  it('names no room, tenant or client: it is open to everybody', async () => {
    const guarded = await startTestServer({ ...WITH_AUTH, ARQONBUS_CASIL_ENABLED: 'true' });
    const bearer = async (request: Parameters<typeof token>[0]) => ({
      headers: { Authorization: `Bearer ${await token(request)}` },
    });
    const peer = await Peer.connect(guarded.urls.bus, {}, await bearer({ tenant: 'acme', sub: 'ann-of-acme' }));
    const room = 'project-nightfall';
    await peer.publish({ room, channel: 'plan', payload: { key: 'AKIAIOSFODNN7EXAMPLQ' } });
    await peer.command('history', { room, channel: 'plan' });
    const { text } = await ask(`${guarded.urls.http}/metrics`);
    expect(text).toMatch(/^arqonbus_casil_decisions_total\{.*\} [1-9]/m);
    for (const name of [room, 'plan', 'acme', 'ann-of-acme', peer.id]) expect(text).not.toContain(name);
    await peer.close();
    await guarded.stop();
  });

  it('counts no command under a name that a client made up', async () => {
    const peer = await Peer.connect(server.urls.bus);
    await peer.command('made-up-name');
    const names = [...(await scrape()).keys()];
    expect(names.some((name) => name.includes('made-up-name'))).toBe(false);
    expect(names).toContain('arqonbus_command_duration_seconds_count{command="unknown"}');
    await peer.close();
  });
});
