import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { Watcher } from '../fixtures/watcher.ts';

const SECRET = 'AKIAIOSFODNN7EXAMPLQ';
let server: TestServer;
let peer: Peer;

beforeAll(async () => {
  server = await startTestServer({
    ARQONBUS_CASIL_ENABLED: 'true',
    ARQONBUS_CASIL_MODE: 'enforce',
    ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'true',
    ARQONBUS_CASIL_SCOPE_INCLUDE: 'vault:*',
    ARQONBUS_CASIL_SCOPE_EXCLUDE: 'open',
  });
  peer = await Peer.connect(server.urls.bus);
});
afterAll(async () => {
  await peer.close();
  await server.stop();
});

describe('the scope of commands', () => {
  it.each([{ room: 'vault', channel: 'keys' }, { room: 'vault:keys' }, { channel: 'vault:keys' }, { room: 'vault' }])(
    'is the place that the arguments name, in whichever of them: %j',
    async (place) => {
      const response = await peer.command('op.cron.schedule', {
        ...place,
        payload: { key: SECRET },
        delay_seconds: 60,
      });
      expect(response).toMatchObject({ status: 'error', error_code: 'CASIL_POLICY_BLOCKED_SECRET' });
      expect(response.payload).toMatchObject({ room: 'vault', reason: 'CASIL_POLICY_BLOCKED_SECRET' });
    },
  );

  it.each([{ room: 'vault:open' }, { channel: 'vault:open' }, { room: 'elsewhere', channel: 'keys' }])(
    'leaves out what the policy does: %j',
    async (place) => {
      const response = await peer.command('op.cron.schedule', {
        ...place,
        payload: { key: SECRET },
        delay_seconds: 60,
      });
      expect(response).toMatchObject({ status: 'success' });
    },
  );

  it('is not left by malformed arguments to any good', async () => {
    const args = { room: 'vault:keys', channel: 'vault:open', payload: { key: SECRET } };
    expect(await peer.command('op.cron.schedule', args)).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });
});

describe('what those see who look after the server', () => {
  it.each([
    ['is redacted where the policy applies, also when subscribers get all of it', '', '***REDACTED***'],
    ['is nothing of a place that is never to be shown', 'integriguard', undefined],
  ])('%s', async (_what, neverShown, expected) => {
    const looked = await startTestServer({
      ARQONBUS_CASIL_ENABLED: 'true',
      ARQONBUS_CASIL_MODE: 'enforce',
      ARQONBUS_CASIL_NEVER_LOG_PAYLOAD_FOR: neverShown,
    });
    const { bus, telemetry, http } = looked.urls;
    const [watcher, subscriber, sender] = await Promise.all([
      Watcher.connect(telemetry),
      Peer.connect(bus, { room: 'integriguard', channel: 'telemetry-stream' }),
      Peer.connect(bus),
    ]);
    const payload = { eventType: 'job.done', payload: { key: SECRET } };
    await sender.publish({ type: 'telemetry', payload });
    expect((await subscriber.next((frame) => frame.payload.eventType === 'job.done')).payload).toMatchObject(payload);

    const event = await watcher.next((frame) => frame.eventType === 'job.done');
    expect(event.payload.key).toBe(expected);
    const { events } = (await ask(`${http}/telemetry/events?events=job.*`)).json;
    expect(events).toEqual([event]);
    for (const peer of [subscriber, sender]) await peer.close();
    await looked.stop();
  });
});
