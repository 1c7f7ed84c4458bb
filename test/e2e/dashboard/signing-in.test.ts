import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { barriers, shareDashboards } from '../../fixtures/dashboard.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';

const KEY = 'a-key-of-this-test';

describe.skipIf(!hasChromium())('signing in to the dashboard', () => {
  const dashboards = shareDashboards();
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: KEY });
  });
  afterAll(() => server.stop());

  it('says why a token is refused, and takes a good one', async () => {
    const { page } = await dashboards.open(server.urls.http);
    await page.getByLabel('Token', { exact: true }).fill('not.a.token');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('The bus does not accept this token.').waitFor();
    expect(await barriers(page)).toEqual([]);
    await page.getByLabel('Token', { exact: true }).fill(await token({ sub: 'root', role: 'admin' }));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByText('admin of default').waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    await page.reload();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  }, 60_000);

  it('stays signed in over a reload when asked to, until one signs out', async () => {
    const { page } = await dashboards.open(server.urls.http);
    await page.getByLabel('With').selectOption('key');
    await page.getByLabel('API key', { exact: true }).fill(KEY);
    await page.getByLabel('Stay signed in').check();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(page.url()).not.toContain(KEY);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  }, 60_000);

  it('offers nothing that the role does not show', async () => {
    const { page } = await dashboards.open(server.urls.http);
    await page.getByLabel('Token', { exact: true }).fill(await token({ sub: 'ursula', role: 'user' }));
    await page.getByRole('button', { name: 'Sign in' }).click();
    const views = page.getByRole('navigation', { name: 'Views' });
    await views.getByRole('link', { name: 'Rooms' }).waitFor();
    expect(await views.getByRole('link').allTextContents()).not.toEqual(expect.arrayContaining(['Access']));
    expect(await views.getByRole('link').allTextContents()).not.toEqual(expect.arrayContaining(['Log']));
    await page.goto(`${server.urls.http}/#/access`);
    await page.getByText('your role does not show it').waitFor();
  }, 60_000);
});

describe.skipIf(!hasChromium())('behind a proxy that adds a prefix', () => {
  const dashboards = shareDashboards();
  let server: TestServer;
  let proxy: Server;

  beforeAll(async () => {
    server = await startTestServer();
    proxy = createServer((incoming, outgoing) => {
      const path = incoming.url ?? '';
      if (!path.startsWith('/tools/bus/')) {
        outgoing.writeHead(404).end();
        return;
      }
      const { port } = new URL(server.urls.http);
      const options = {
        port,
        host: '127.0.0.1',
        method: incoming.method,
        path: path.slice('/tools/bus'.length),
        headers: incoming.headers,
      };
      const asked = request(options, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      asked.on('error', () => outgoing.destroy());
      outgoing.on('close', () => asked.destroy());
      incoming.pipe(asked);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
    await server.stop();
  });

  it('works as it does without one', async () => {
    const base = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/tools/bus`;
    const { page, faults } = await dashboards.open(base, 'rooms/science/explore');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('.tail-row', { hasText: 'hello' }).waitFor();
    expect(faults).toEqual([]);
  }, 60_000);
});
