import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

let server: TestServer;
const get = (path: string): Promise<Answer> => ask(server.urls.http + path);

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe('GET /telemetry/events', () => {
  it('gives the last events, oldest first, by type and room', async () => {
    const peer = await Peer.connect(server.urls.bus);
    await peer.ask('join_channel', { room: 'lab', channel: 'x' });
    const all = (await get('/telemetry/events')).json;
    expect(all.count).toBe(all.events.length);
    const types = all.events.map(({ eventType }: { eventType: string }) => eventType);
    expect(types).toEqual([
      'server_started',
      'client_connected',
      'channel_created',
      'client_joined',
      'command_executed',
    ]);
    const typesOf = async (query: string): Promise<string[]> =>
      (await get(`/telemetry/events?${query}`)).json.events.map(({ eventType }: { eventType: string }) => eventType);
    expect(await typesOf('events=client_*,server_started')).toEqual([
      'server_started',
      'client_connected',
      'client_joined',
    ]);
    expect(await typesOf('room=lab')).toEqual(['channel_created', 'client_joined']);
    expect(await typesOf('limit=1')).toEqual(['command_executed']);
    await peer.close();
  });

  it.each(['limit=0', 'limit=1001', 'events=', 'events=a%20b', 'room=a:b', 'nonsense=1'])(
    'refuses %s',
    async (query) => {
      expect(await get(`/telemetry/events?${query}`)).toMatchObject({
        status: 400,
        json: { error_code: 'VALIDATION_ERROR' },
      });
    },
  );
});

describe('GET /telemetry/stats', () => {
  it('counts events by type, what clients submit as one, and who watches', async () => {
    const watcher = await Watcher.connect(server.urls.telemetry);
    watcher.send({ eventType: 'auth_failed', payload: {} });
    watcher.send({ eventType: 'other', payload: {} });
    await watcher.event('other');
    const { json } = await get('/telemetry/stats');
    expect(json).toMatchObject({
      enabled: true,
      buffer_size: 1_000,
      events_by_type: { server_started: 1, submitted: 2 },
      clients: 1,
      dropped_total: 0,
    });
    expect(json.events_by_type).not.toHaveProperty('auth_failed');
    const sum = Object.values(json.events_by_type as Record<string, number>).reduce((total, count) => total + count, 0);
    expect([json.events_total, json.buffered]).toEqual([sum, sum]);
    await watcher.close();
  });
});
