import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards, show } from '../../fixtures/dashboard.ts';
import { type Lively, startLively } from '../../fixtures/lively.ts';

/** With ARQONBUS_SCREENSHOTS=docs the pictures of the documentation are made anew; else they are measured and dropped. */
const isForDocs = process.env.ARQONBUS_SCREENSHOTS === 'docs';
const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const GUIDE = readFileSync(join(DOCS, 'dashboard.md'), 'utf8');
const SIZES = { 420: 860, 1280: 900, 2560: 1440 } as const;

interface Shot {
  readonly name: string;
  readonly view: string;
  readonly prepare: (page: Page) => Promise<unknown>;
}

const SHOTS: readonly Shot[] = [
  {
    name: 'overview',
    view: 'overview',
    prepare: async (page) => {
      await page.getByText('Healthy').waitFor();
      // Some figures, so that there is a line to be seen.
      for (let scrapes = 0; scrapes < (isForDocs ? 30 : 2); scrapes += 1) {
        await page.waitForResponse((response) => response.url().endsWith('/metrics'));
      }
      await expect.poll(() => page.locator('.legend b').first().textContent()).toMatch(/^[1-9]/);
    },
  },
  {
    name: 'channel',
    view: 'rooms/orders/new',
    prepare: async (page) => {
      await page.locator('.tail-row').first().click();
      await page.getByText('would be sent').waitFor();
      await page.locator('.main').evaluate((main) => main.scrollTo(0, 0));
    },
  },
];

describe.skipIf(!hasChromium())('pictures of the dashboard', () => {
  const dashboards = shareDashboards();
  const folder = mkdtempSync(join(tmpdir(), 'arqonbus-pictures-'));
  let lively: Lively;
  let traffic: ReturnType<typeof setInterval>;

  beforeAll(async () => {
    lively = await startLively();
    const [ada, shop] = lively.clients;
    await ada?.subscribe('orders:flow', { onMessage: () => {} });
    let beat = 0;
    traffic = setInterval(() => {
      beat += 1;
      const wave = 6 + 4 * Math.sin(beat / 60) + 3 * Math.random();
      for (let n = 0; n < wave; n += 1) void shop?.publish('orders:flow', { n }).catch(() => {});
    }, 100);
  }, 60_000);
  afterAll(async () => {
    clearInterval(traffic);
    await lively.stop();
    rmSync(folder, { recursive: true });
  });

  it.each([
    [420, 'dark'],
    [1280, 'dark'],
    [1280, 'light'],
    [2560, 'light'],
  ] as const)(
    'are made at %i pixels in the %s theme',
    async (width, theme) => {
      const base = lively.server.urls.http;
      const { page } = await dashboards.open(base, 'overview', { width, height: SIZES[width], theme });
      for (const { name, view, prepare } of SHOTS) {
        await show(page, base, view);
        await prepare(page);
        const file = `${name}-${width}-${theme}.png`;
        const path = join(folder, file);
        await page.screenshot({ path });
        // A blank page compresses to next to nothing.
        expect(statSync(path).size).toBeGreaterThan(15_000);
        if (isForDocs && GUIDE.includes(`(dashboard/${file})`)) copyFileSync(path, join(DOCS, 'dashboard', file));
      }
    },
    180_000,
  );

  it('stand in the documentation', () => {
    const named = [...GUIDE.matchAll(/\(dashboard\/([\w-]+\.png)\)/g)].map(([, file = '']) => file);
    expect(named.length).toBeGreaterThan(2);
    for (const file of named) expect(statSync(join(DOCS, 'dashboard', file)).size).toBeGreaterThan(15_000);
  });
});
