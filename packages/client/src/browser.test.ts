import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { TcpProxy } from '../../../test/fixtures/tcp-proxy.ts';
import { token, WITH_AUTH } from '../../../test/fixtures/tokens.ts';
import { bundle } from './bundle.suite.ts';
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
  client: ArqonBusClient;
}

describe.skipIf(!hasChromium())('in a browser', () => {
  let bus: TestServer;
  let proxy: TcpProxy;
  let pages: Server;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    const { code } = await bundle('import { ArqonBusClient } from CLIENT; globalThis.Client = ArqonBusClient;');
    pages = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><title>page</title><script type="module">${code}</script>`);
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    bus = await startTestServer();
    proxy = await TcpProxy.start(Number(new URL(bus.urls.bus).port));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => pages?.close(resolve));
    await proxy?.stop();
    await bus?.stop();
  });

  it('talks: subscribe, publish with an ack, a command', async () => {
    const talked = await page.evaluate(async (url) => {
      const { Client } = globalThis as unknown as PageScope;
      const client = new Client({ url, clientType: 'human', screenName: 'Chrome' });
      await client.connect();
      const subscription = await client.subscribe<{ text: string }>('science:explore', { echo: true });
      const ack = await client.publish('science:explore', { text: 'from a page' }, { ack: true });
      const { payload } = await subscription.next({ timeoutMs: 5_000 });
      const { members } = await client.channelInfo('science:explore');
      await client.close();
      return { stored: ack.stored, text: payload.text, name: members[0]?.screen_name, state: client.state };
    }, bus.urls.bus);
    expect(talked).toEqual({ stored: 'memory', text: 'from a page', name: 'Chrome', state: 'closed' });
  });

  it('sends its token as a subprotocol, and learns over HTTP alone why it is refused', async () => {
    const own = await startTestServer(WITH_AUTH);
    try {
      const outcome = await page.evaluate(
        async ([url, jwt]) => {
          const { Client } = globalThis as unknown as PageScope;
          const allowed = new Client({ url: url as string, token: jwt as string });
          const { role } = await allowed.connect();
          await allowed.close();
          const refusal = async (http?: false) => {
            const refused = new Client({ url: url as string, token: 'not.a.token', ...(http === false && { http }) });
            const failure = await refused.connect().catch((error: { code: string; message: string }) => error);
            return ['code' in failure ? failure.code : '', String(failure)];
          };
          return { role, refusals: [await refusal(), await refusal(false)] };
        },
        [own.urls.bus, await token({ sub: 'ada', role: 'user' })],
      );
      expect(outcome).toEqual({
        role: 'user',
        refusals: [
          ['AUTHENTICATION_FAILED', expect.stringContaining('HTTP 401')],
          ['CONNECTION_FAILED', expect.stringContaining('a browser does not tell why')],
        ],
      });
    } finally {
      await own.stop();
    }
  });

  it('comes back without a gap when the line was cut, and at once when the network returns', async () => {
    await page.evaluate(async (url) => {
      const scope = globalThis as unknown as PageScope & { seen: number[]; away: Promise<unknown> };
      // Nobody would wait that long: what brings it back is the event.
      const client = new scope.Client({ url, reconnect: { baseMs: 3_600_000, maxMs: 3_600_000 } });
      scope.client = client;
      scope.seen = [];
      scope.away = new Promise((resolve) => client.once('reconnecting', resolve));
      await client.connect();
      await client.subscribe<{ n: number }>('science:cut', {
        onMessage: ({ payload }) => void scope.seen.push(payload.n),
      });
    }, `ws://127.0.0.1:${proxy.port}`);
    proxy.refuse(true);
    await page.evaluate(() => (globalThis as unknown as { away: Promise<unknown> }).away.then(() => {}));
    const publish = (n: number): Promise<unknown> =>
      page.evaluate(
        async ([url, value]) => {
          const { Client } = globalThis as unknown as PageScope;
          const other = new Client({ url: url as string });
          await other.connect();
          await other.publish('science:cut', { n: value }, { ack: true });
          await other.close();
        },
        [bus.urls.bus, n] as const,
      );
    await publish(1);
    proxy.refuse(false);
    const seen = await page.evaluate(async () => {
      const scope = globalThis as unknown as PageScope & { seen: number[] };
      const opened = new Promise((resolve) => scope.client.once('state', resolve));
      globalThis.dispatchEvent(new Event('online'));
      await opened;
      while (scope.seen.length === 0) await new Promise((resolve) => requestAnimationFrame(resolve));
      await scope.client.close();
      return scope.seen;
    });
    expect(seen).toEqual([1]);
  });
});
