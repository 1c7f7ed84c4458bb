import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';

let server: TestServer;
let now = Date.now();
const closing: Peer[] = [];

beforeAll(async () => {
  server = await startTestServer({}, { now: () => now });
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((peer) => peer.close()));
});
afterAll(() => server.stop());

async function connect(query: Record<string, string>): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query);
  closing.push(peer);
  return peer;
}

async function dashboard(): Promise<Peer> {
  const peer = await connect({ client_type: 'dashboard' });
  await peer.ask('join_channel', { room: 'integriguard', channel: 'dashboard-events' });
  return peer;
}

describe('agent_activity', () => {
  it('tells what agents and services do, and nothing of its content', async () => {
    const watching = await dashboard();
    const agent = await connect({ client_type: 'ai-agent', screen_name: 'Ada', personality: 'curious' });
    const ack = await agent.publish({ room: 'science', channel: 'explore', payload: { word: 'content' } });
    const told = await watching.message();
    expect(told).toMatchObject({ type: 'telemetry', from: 'arqonbus', payload: { eventType: 'agent_activity' } });
    expect(told.payload.payload).toEqual({
      client_id: agent.id,
      client_type: 'ai-agent',
      screen_name: 'Ada',
      personality: 'curious',
      activity: 'event',
      room: 'science',
      channel: 'explore',
      message_id: ack.request_id,
      timestamp: new Date(now).toISOString(),
    });
    const service = await connect({ client_type: 'service' });
    await service.ask('ping');
    expect((await watching.message()).payload.payload).toMatchObject({
      client_id: service.id,
      activity: 'command:ping',
    });
  });

  it('comes at most once a second for each client', async () => {
    const watching = await dashboard();
    const [one, other] = [await connect({ client_type: 'ai-agent' }), await connect({ client_type: 'ai-agent' })];
    for (let index = 0; index < 5; index += 1) {
      await one.publish({ room: 'science', channel: 'explore' });
      await other.publish({ room: 'science', channel: 'explore' });
    }
    const about = async (): Promise<unknown[]> =>
      (await watching.received('telemetry')).map(({ payload }) => payload.payload.client_id);
    expect(await about()).toEqual([one.id, other.id]);
    now += 999;
    await one.publish({ room: 'science', channel: 'explore' });
    expect(await about()).toHaveLength(2);
    now += 1;
    await one.publish({ room: 'science', channel: 'explore' });
    expect(await about()).toEqual([one.id, other.id, one.id]);
  });

  it('says nothing of people and dashboards', async () => {
    const watching = await dashboard();
    const human = await connect({ client_type: 'human' });
    await human.publish({ room: 'science', channel: 'explore' });
    expect(await watching.received('telemetry')).toEqual([]);
  });
});
