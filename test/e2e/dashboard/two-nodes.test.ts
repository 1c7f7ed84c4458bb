import { ArqonBusClient } from '@arqonbus/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards, show } from '../../fixtures/dashboard.ts';
import { hasRedis, PrivateRedis } from '../../fixtures/private-redis.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';

describe.skipIf(!hasChromium() || !hasRedis())('the dashboard of one of two nodes', () => {
  const dashboards = shareDashboards();
  let redis: PrivateRedis;
  let here: TestServer;
  let there: TestServer;

  beforeAll(async () => {
    redis = await PrivateRedis.start();
    const start = (node: string): Promise<TestServer> =>
      startTestServer({
        ARQONBUS_NODE_ID: node,
        ARQONBUS_STORAGE_BACKEND: 'redis',
        ARQONBUS_REDIS_URL: redis.url(),
      });
    here = await start('here');
    there = await start('there');
  }, 60_000);
  afterAll(async () => {
    await there?.stop();
    await here?.stop();
    await redis?.stop();
  });

  it('names both, shows what comes over the other, and closes connections there', async () => {
    const eve = new ArqonBusClient({ url: there.urls.bus, screenName: 'Eve', subject: 'eve', reconnect: false });
    await eve.connect();
    try {
      const base = here.urls.http;
      const { page } = await dashboards.open(base);
      await page.getByText('here, there').waitFor();
      await show(page, base, 'rooms/science/explore');
      await page.getByText('No message here yet.').waitFor();
      await eve.publish('science:explore', { text: 'from the other node' });
      await page.locator('.tail-row', { hasText: 'from the other node' }).waitFor();
      await show(page, base, 'clients');
      await page.getByRole('link', { name: 'Eve' }).click();
      // What the other node knows of it.
      await page.getByText('127.0.0.1', { exact: true }).waitFor();
      const closed = new Promise((resolve) => eve.once('error', resolve));
      await page.getByRole('button', { name: 'Disconnect' }).click();
      await page.getByRole('button', { name: 'Really?' }).click();
      await page.getByText('The connection was closed.').waitFor();
      await closed;
      expect(eve.state).toBe('closed');
    } finally {
      await eve.close();
    }
  }, 90_000);
});
