import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpProxy } from '../../../test/fixtures/http-proxy.ts';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../test/fixtures/tokens.ts';
import type { ArqonBusClient } from './client.ts';

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

function hasChromium(): boolean {
  if (existsSync(CHROMIUM)) return true;
  if (process.env.CI === 'true') throw new Error(`${CHROMIUM} is missing, and CI must test the browser build.`);
  console.warn(`*** ${CHROMIUM} is missing: the tests in a browser are LEFT OUT. ***`);
  return false;
}

/** What the page offers to the functions that run in it. */
interface PageScope {
  Client: typeof ArqonBusClient;
}

describe.skipIf(!hasChromium())('in a browser behind a proxy that refuses upgrades', () => {
  let bus: TestServer;
  let proxy: HttpProxy;
  let pages: Server;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    bus = await startTestServer(WITH_AUTH);
    proxy = await HttpProxy.start(Number(new URL(bus.urls.bus).port), 'refuse');
    // The page needs no bundler: the bus itself has the client.
    pages = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>page</title><script type="module">
        import { ArqonBusClient } from 'http://127.0.0.1:${proxy.port}/client.js';
        globalThis.Client = ArqonBusClient;
      </script>`);
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
    await page.waitForFunction(() => 'Client' in globalThis);
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => pages?.close(resolve));
    await proxy?.stop();
    await bus?.stop();
  });

  it('a page talks with its token: subscribe, publish, a command; and closes', async () => {
    const talked = await page.evaluate(
      async ([url, jwt]) => {
        const { Client } = globalThis as unknown as PageScope;
        const client = new Client({ url: url as string, token: jwt as string, screenName: 'Chrome' });
        await client.connect();
        const subscription = await client.subscribe<{ text: string }>('science:explore', { echo: true });
        const ack = await client.publish('science:explore', { text: 'over a stream' }, { ack: true });
        const { payload } = await subscription.next({ timeoutMs: 10_000 });
        const { members } = await client.channelInfo('science:explore');
        const { session } = client.welcome ?? {};
        await client.close();
        return { stored: ack.stored, text: payload.text, name: members[0]?.screen_name, session, state: client.state };
      },
      [`ws://127.0.0.1:${proxy.port}`, await token({ sub: 'ada', role: 'user' })],
    );
    expect(talked).toEqual({
      stored: 'memory',
      text: 'over a stream',
      name: 'Chrome',
      session: expect.stringMatching(/^arq_session_/),
      state: 'closed',
    });
    expect(proxy.upgrades).toBe(2);
  });

  it('is told why the stream was refused, which a WebSocket could not tell it', async () => {
    const refused = await page.evaluate(async (url) => {
      const { Client } = globalThis as unknown as PageScope;
      const failure = await new Client({ url, token: 'not.a.token' }).connect().catch((error) => error);
      return { code: failure.code, message: String(failure.message) };
    }, `ws://127.0.0.1:${proxy.port}`);
    expect(refused.code).toBe('AUTHENTICATION_FAILED');
  });

  it('`EventSource` reads a stream, and goes on by itself', async () => {
    const jwt = await token({ sub: 'ada', role: 'user' });
    await page.evaluate((url) => {
      const scope = globalThis as unknown as { seen: number[]; joined: Promise<void> };
      scope.seen = [];
      scope.joined = new Promise((resolve) => {
        new EventSource(url).onmessage = ({ data }) => {
          const { type, payload } = JSON.parse(data);
          if (type === 'command_response') resolve();
          if (type === 'event') scope.seen.push(payload.n);
        };
      });
    }, `http://127.0.0.1:${proxy.port}/v1/stream?join=plain:page&token=${jwt}`);
    await page.evaluate(() => (globalThis as unknown as { joined: Promise<void> }).joined);
    await bus.server.bus.publish('plain:page', { n: 1 });
    await page.waitForFunction(() => (globalThis as unknown as { seen: number[] }).seen.length === 1);
    proxy.cut();
    await bus.server.bus.publish('plain:page', { n: 2 });
    await page.waitForFunction(() => (globalThis as unknown as { seen: number[] }).seen.length === 2);
    expect(await page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen)).toEqual([1, 2]);
  });
});
