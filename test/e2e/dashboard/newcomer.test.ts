import { ArqonBusClient } from '@arqonbus/client';
import { describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards } from '../../fixtures/dashboard.ts';
import { startTestServer } from '../../fixtures/start.ts';

describe.skipIf(!hasChromium())('the dashboard of a bus that one has just started', () => {
  const dashboards = shareDashboards();

  it('sends a message, shows it, tells who sent another, blocks them, and takes that back', async () => {
    const server = await startTestServer();
    const mallory = new ArqonBusClient({
      url: server.urls.bus,
      subject: 'mallory',
      screenName: 'Mallory',
      reconnect: false,
    });
    try {
      await mallory.connect();
      const { page, faults } = await dashboards.open(server.urls.http);
      await page.getByRole('link', { name: 'Rooms' }).click();
      await page.getByRole('link', { name: 'explore' }).click();
      await page.getByLabel('Payload, a JSON object').fill('{"text": "my first message"}');
      await page.getByText('would be sent').waitFor();
      await page.getByRole('button', { name: 'Send' }).click();
      await page.locator('.tail-row', { hasText: 'my first message' }).waitFor();

      await mallory.publish('science:explore', { text: 'buy my lamps' });
      await page.locator('.tail-row', { hasText: 'buy my lamps' }).click();
      const left = new Promise((resolve) => mallory.once('error', resolve));
      await page.getByRole('button', { name: 'Block mallory' }).click();
      await page.getByText('mallory is blocked').waitFor();
      await left;
      expect(mallory.state).toBe('closed');
      const again = new ArqonBusClient({ url: server.urls.bus, subject: 'mallory', reconnect: false });
      await expect(again.connect()).rejects.toThrow();

      await page.getByRole('button', { name: 'Undo' }).click();
      await page.getByText('mallory may come back.').waitFor();
      const back = new ArqonBusClient({ url: server.urls.bus, subject: 'mallory' });
      await back.connect();
      await page.getByRole('link', { name: 'Clients' }).click();
      await page.getByRole('row', { name: /mallory/ }).waitFor();
      await back.close();
      await again.close();
      expect(faults).toEqual([]);
    } finally {
      await mallory.close();
      await server.stop();
    }
  }, 90_000);

  it('says that the server went away, and goes on when it is back', async () => {
    let server = await startTestServer();
    const { port } = new URL(server.urls.http);
    const { page } = await dashboards.open(server.urls.http, 'rooms/science/explore');
    try {
      await page.getByRole('button', { name: 'Send' }).click();
      await page.locator('.tail-row').first().waitFor();
      await server.stop();
      await page.getByText('Reconnecting…').waitFor();
      await page.getByText('The line to the bus is lost.').waitFor();
      server = await startTestServer({ ARQONBUS_HTTP_PORT: port });
      await page.getByText('Live', { exact: true }).waitFor({ timeout: 30_000 });
      await page.getByLabel('Payload, a JSON object').fill('{"text": "after the restart"}');
      await page.getByRole('button', { name: 'Send' }).click();
      await page.locator('.tail-row', { hasText: 'after the restart' }).waitFor();
    } finally {
      await server.stop();
    }
  }, 90_000);
});
