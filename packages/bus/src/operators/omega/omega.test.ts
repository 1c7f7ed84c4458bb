import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../../test/fixtures/start.ts';

let server: TestServer;
const peers: Peer[] = [];

beforeAll(async () => {
  server = await startTestServer({
    ARQONBUS_OMEGA_ENABLED: 'true',
    ARQONBUS_OMEGA_MAX_EVENTS: '5',
    ARQONBUS_OMEGA_MAX_SUBSTRATES: '3',
    ARQONBUS_LOG_LEVEL: 'error',
  });
});
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
afterAll(() => server.stop());

async function connect(query: Record<string, string> = {}): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query);
  peers.push(peer);
  return peer;
}

describe('op.omega', () => {
  it('is off unless it is switched on, and says so', async () => {
    const plain = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error' });
    const a = await Peer.connect(plain.urls.bus);
    expect(await a.ask('op.omega.status')).toMatchObject({ enabled: false, room: 'omega-lab', channel: 'signals' });
    const commands: [string, object][] = [
      ['register_substrate', { name: 'n', kind: 'k' }],
      ['list_substrates', {}],
      ['unregister_substrate', { substrate_id: 's' }],
      ['emit_event', { substrate_id: 's', signal: 'x' }],
      ['list_events', {}],
      ['clear_events', {}],
    ];
    for (const [command, args] of commands) {
      expect(await a.command(`op.omega.${command}`, args as Record<string, unknown>)).toMatchObject({
        error_code: 'FEATURE_DISABLED',
      });
    }
    await a.close();
    await plain.stop();
  });

  it('records signals of substrates and sends them to the lab and to telemetry', async () => {
    const [a, lab, watcher] = await Promise.all([
      connect(),
      connect({ room: 'omega-lab', channel: 'signals' }),
      connect({ room: 'integriguard', channel: 'telemetry-stream' }),
    ]);
    const { substrate_id } = await a.ask('op.omega.register_substrate', { name: 'n', kind: 'k', metadata: { m: 1 } });
    expect(substrate_id).toMatch(/^omega_/);
    expect(await a.ask('op.omega.list_substrates')).toMatchObject({
      count: 1,
      substrates: [{ name: 'n', metadata: { m: 1 } }],
    });
    const event = await a.ask('op.omega.emit_event', { substrate_id, signal: 'pulse', payload: { v: 1 } });
    const seen = await lab.message();
    expect(seen).toMatchObject({ type: 'telemetry', from: 'op-omega', room: 'omega-lab', channel: 'signals' });
    expect(seen.payload).toMatchObject({ payload: { signal: 'pulse', event_id: event.event_id } });
    await watcher.next((frame) => frame.payload.payload?.event_id === event.event_id);
    for (let n = 0; n < 6; n += 1) await a.ask('op.omega.emit_event', { substrate_id, signal: `s${n}` });
    const { events, count } = await a.ask('op.omega.list_events');
    expect([count, events[0].signal]).toEqual([5, 's1']);
    expect(await a.ask('op.omega.list_events', { signal: 's3' })).toMatchObject({ count: 1 });
    expect(await a.ask('op.omega.clear_events', { signal: 's3' })).toEqual({ removed_count: 1, remaining_count: 4 });
    expect((await a.ask('op.omega.status')).counts).toEqual({ substrates: 1, events: 4 });
    expect(await a.ask('op.omega.unregister_substrate', { substrate_id })).toEqual({
      removed: true,
      removed_events: 4,
    });
    expect(await a.command('op.omega.emit_event', { substrate_id, signal: 'x' })).toMatchObject({
      error_code: 'NOT_FOUND',
    });
  });

  it('is full at its limit', async () => {
    const a = await connect();
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1)
      ids.push((await a.ask('op.omega.register_substrate', { name: `n${n}`, kind: 'k' })).substrate_id);
    expect(await a.command('op.omega.register_substrate', { name: 'more', kind: 'k' })).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
      payload: { limit: 3 },
    });
    for (const substrate_id of ids) await a.ask('op.omega.unregister_substrate', { substrate_id });
  });
});
