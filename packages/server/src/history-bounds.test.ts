import { afterEach, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';

let server: TestServer;

afterEach(() => server.stop());

/** Publishes 40 times 1,000 characters, to two channels of each of two tenants; answers the events kept of a tenant. */
async function kept(): Promise<number[]> {
  const { bus } = server.server;
  const counts: number[] = [];
  for (const tenant of ['acme', 'globex']) {
    for (let n = 0; n < 40; n += 1) await bus.publish(`lab:c${n % 2}`, { text: 'x'.repeat(1_000) }, { tenant });
  }
  for (const tenant of ['acme', 'globex']) {
    let count = 0;
    for (const channel of ['c0', 'c1']) {
      count += (await bus.engine.broker.history({ tenant, room: 'lab', channel }, { limit: 100 })).length;
    }
    counts.push(count);
  }
  return counts;
}

async function start(settings: Readonly<Record<string, string>>): Promise<void> {
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error', ARQONBUS_TELEMETRY_ENABLED: 'false', ...settings });
}

it('keeps everything that is within its bounds', async () => {
  await start({});
  expect(await kept()).toEqual([40, 40]);
});

it('keeps no more bytes of one channel than is set', async () => {
  await start({ ARQONBUS_MAX_HISTORY_BYTES_PER_CHANNEL: '10240' });
  for (const count of await kept()) {
    expect(count).toBeGreaterThanOrEqual(10);
    expect(count).toBeLessThanOrEqual(20);
  }
});

it('keeps no more bytes of one tenant than is set', async () => {
  await start({ ARQONBUS_MAX_HISTORY_BYTES_PER_TENANT: '30000' });
  for (const count of await kept()) {
    expect(count).toBeGreaterThanOrEqual(5);
    expect(count).toBeLessThanOrEqual(30);
  }
});

it('keeps no more bytes of all tenants together than is set', async () => {
  await start({ ARQONBUS_MAX_HISTORY_BYTES: '40000' });
  const [acme = 0, globex = 0] = await kept();
  expect(acme + globex).toBeGreaterThanOrEqual(10);
  expect(acme + globex).toBeLessThanOrEqual(40);
});
