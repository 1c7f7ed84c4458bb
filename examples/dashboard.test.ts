import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../test/fixtures/start.ts';
import { TcpProxy } from '../test/fixtures/tcp-proxy.ts';
import { token, WITH_AUTH } from '../test/fixtures/tokens.ts';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

function hasChromium(): boolean {
  if (existsSync(CHROMIUM)) return true;
  if (process.env.CI === 'true') throw new Error(`${CHROMIUM} is missing, and CI must test the dashboard.`);
  console.warn(`*** ${CHROMIUM} is missing: the test of the dashboard is LEFT OUT. ***`);
  return false;
}

describe.skipIf(!hasChromium())('dashboard.html', () => {
  let pages: Server;
  let browser: Browser;
  let origin: string;

  beforeAll(async () => {
    const html = readFileSync(new URL('dashboard.html', import.meta.url));
    pages = createServer((_request, response) => {
      response.setHeader('Content-Type', 'text/html; charset=utf-8').end(html);
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => pages?.close(resolve));
  });

  const open = async (bus: string, fragment = ''): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(`${origin}/?bus=${encodeURIComponent(bus)}${fragment}`);
    await page.locator('#state[data-state=open]').waitFor();
    return page;
  };
  const rows = (page: Page): Promise<string[]> => page.locator('#feed td:last-child').allTextContents();
  const say = async (peer: Peer, text: string, channel: string): Promise<void> => {
    await peer.publish({ room: 'science', channel, payload: { text } });
  };

  it('shows history, then what comes, after a lost line what was missed, and never runs what it shows', async () => {
    const bus: TestServer = await startTestServer();
    const proxy = await TcpProxy.start(Number(new URL(bus.urls.bus).port));
    const peer = await Peer.connect(bus.urls.bus);
    await say(peer, 'before', 'explore');
    const page = await open(`ws://127.0.0.1:${proxy.port}`);
    await page.locator('#feed tr').nth(0).waitFor();
    await say(peer, '<img src=x onerror="document.title=1">', 'share');
    await page.locator('#feed tr').nth(1).waitFor();
    proxy.refuse(true);
    await page.locator('#state[data-state=waiting]').waitFor();
    await say(peer, 'meanwhile', 'explore');
    proxy.refuse(false);
    await page.locator('#feed tr').nth(2).waitFor();
    expect(await rows(page)).toEqual(
      ['meanwhile', '<img src=x onerror="document.title=1">', 'before'].map((text) => JSON.stringify({ text })),
    );
    expect(await page.locator('#total').textContent()).toBe('2');
    expect(await page.title()).toBe('ArqonBus dashboard');
    await page.close();
    await peer.close();
    await proxy.stop();
    await bus.stop();
  });

  it('brings a token from the fragment of its address', async () => {
    const bus = await startTestServer(WITH_AUTH);
    const page = await open(bus.urls.bus, `#token=${await token({ sub: 'ada' })}`);
    expect(await page.locator('#state').textContent()).toBe('live');
    await page.close();
    await bus.stop();
  });
});
