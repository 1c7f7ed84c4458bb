import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

const EVENTS = 6_000;
const REQUESTS = 3_000;
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

function lost({ inbox }: Watcher): number {
  const notices = inbox.filter(({ eventType }) => eventType === 'events_dropped');
  return notices.reduce((sum, { payload }) => sum + payload.dropped, 0);
}

describe('a telemetry client that does not read', () => {
  it('loses the oldest events, is told how many, and holds up nobody', async () => {
    const slow = await Watcher.connect(server.urls.telemetry);
    await slow.ask({ type: 'subscribe', events: ['load'] }, 'subscribed');
    const quick = await Watcher.connect(server.urls.telemetry);
    await quick.ask({ type: 'subscribe', events: ['load'] }, 'subscribed');
    slow.ws.pause();
    const peer = await Peer.connect(server.urls.bus);
    const filling = 'x'.repeat(2_000);
    for (let index = 0; index < EVENTS; index += 1) {
      const payload = { eventType: 'load', payload: { index, filling } };
      if (index % 20 === 19) await peer.publish({ type: 'telemetry', payload });
      else peer.send({ type: 'telemetry', payload });
    }
    await quick.next(({ payload }) => payload?.index === EVENTS - 1);

    slow.ws.resume();
    await slow.next(({ payload }) => payload?.index === EVENTS - 1);
    const notices = slow.inbox.filter(({ eventType }) => eventType === 'events_dropped');
    expect(notices.length).toBeGreaterThan(0);
    expect(notices[0]).toMatchObject({ severity: 'warning', payload: { dropped: expect.any(Number) } });
    const dropped = lost(slow);
    const indexes = slow.inbox.filter(({ eventType }) => eventType === 'load').map(({ payload }) => payload.index);
    expect(indexes.length + 1 + dropped).toBe(EVENTS);
    expect(indexes).toEqual([...indexes].sort((one, other) => one - other));
    // What was lost is the oldest of what had to wait: the end is whole.
    expect(indexes.slice(-1_000)).toEqual(Array.from({ length: 1_000 }, (_, at) => EVENTS - 1_001 + at));

    const stats = await fetch(`${server.urls.http}/telemetry/stats`).then((response) => response.json());
    expect(stats).toMatchObject({ clients: 2, dropped_total: dropped + lost(quick) });
    await Promise.all([slow.close(), quick.close(), peer.close()]);
  });

  it('is not listened to while it does not read its answers', async () => {
    const [greedy, peer] = [await Watcher.connect(server.urls.telemetry), await Peer.connect(server.urls.bus)];
    greedy.ws.pause();
    // An answer repeats what was asked for, so there is as much to read as was sent.
    const events = Array.from({ length: 100 }, (_, index) => `${index}${'x'.repeat(120)}`);
    for (let index = 0; index < REQUESTS; index += 1) {
      greedy.send({ type: 'subscribe', events });
      greedy.send({ type: 'unsubscribe' });
    }
    for (let unchanged = 0, before = -1; unchanged < 20; ) {
      await peer.ask('ping');
      unchanged = greedy.ws.bufferedAmount === before ? unchanged + 1 : 0;
      before = greedy.ws.bufferedAmount;
    }
    expect(greedy.ws.bufferedAmount).toBeGreaterThan(0);
    greedy.ws.resume();
    for (let index = 0; index < REQUESTS; index += 1) await greedy.next(({ type }) => type === 'subscribed');
    await Promise.all([greedy.close(), peer.close()]);
  });

  it('is closed with 4408 when it does not answer heartbeats', async () => {
    const quick = await startTestServer({ ARQONBUS_PING_INTERVAL_SECONDS: '0.2' });
    const watcher = await Watcher.connect(quick.urls.telemetry, undefined, { autoPong: false });
    expect(await watcher.closed).toBe(4408);
    await quick.stop();
  });
});
