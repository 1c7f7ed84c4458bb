import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards, show } from '../../fixtures/dashboard.ts';
import { type Lively, startLively } from '../../fixtures/lively.ts';

/**
 * With ARQONBUS_SCREENSHOTS=docs the pictures of the documentation are made anew, with the path of a folder all of them
 * are put there; else they are measured and dropped.
 */
const { ARQONBUS_SCREENSHOTS: wish = '' } = process.env;
const isForDocs = wish === 'docs';
const DOCS = fileURLToPath(new URL('../../../docs/', import.meta.url));
const GUIDE = readFileSync(join(DOCS, 'dashboard.md'), 'utf8');
const SIZES = { 420: 860, 1280: 900, 2560: 1440 } as const;
const THEMES = ['light', 'dark'] as const;
/** What is made when nobody asked for more. */
const FEW: readonly string[] = ['420-dark', '1280-light'];

const QUESTION = 'May I order 40 lamps for the second floor? The cheapest offer is 1,200 euros.';

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
    },
  },
  { name: 'rooms', view: 'rooms', prepare: (page) => page.getByRole('link', { name: 'explore' }).waitFor() },
  { name: 'clients', view: 'clients', prepare: (page) => page.getByRole('row', { name: 'Packer' }).waitFor() },
  {
    name: 'client',
    view: 'clients',
    prepare: async (page) => {
      await page.getByRole('link', { name: 'Shop' }).click();
      await page
        .getByText(/^[\d.]+\/s, [\d,]+ in all$/)
        .first()
        .waitFor();
    },
  },
  {
    name: 'agents',
    view: 'agents',
    prepare: async (page) => {
      await page.getByText('May I order 40 lamps').waitFor();
      await page.getByRole('row', { name: '@clerk' }).waitFor();
      await page.getByRole('row', { name: 'Scout' }).getByRole('button', { name: 'Read' }).click();
      await page.getByText('The second dataset has 41 rows').waitFor();
    },
  },
  {
    name: 'operators',
    view: 'operators',
    prepare: async (page) => {
      await page.getByRole('row', { name: '/hook' }).getByRole('button', { name: '3', exact: true }).click();
      await page.getByRole('region', { name: 'Dead letters' }).getByText('"id":1043').waitFor();
    },
  },
  {
    name: 'casil',
    view: 'casil',
    prepare: (page) =>
      page.getByRole('region', { name: 'Decisions as they are made' }).getByRole('row').nth(1).waitFor(),
  },
  { name: 'access', view: 'access', prepare: (page) => page.getByText('Nobody is blocked.').waitFor() },
  { name: 'log', view: 'log', prepare: (page) => page.getByRole('row', { name: 'client_joined' }).first().waitFor() },
];

describe.skipIf(!hasChromium())('pictures of the dashboard', () => {
  const dashboards = shareDashboards();
  const isKept = wish !== '' && !isForDocs;
  const folder = isKept ? wish : mkdtempSync(join(tmpdir(), 'arqonbus-pictures-'));
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
    if (!isKept) rmSync(folder, { recursive: true });
  });

  it('are made of every view', async () => {
    const base = lively.server.urls.http;
    const { page } = await dashboards.open(base);
    for (const { name, view, prepare } of SHOTS) {
      await show(page, base, view);
      if (name === 'agents') await ask(page);
      await prepare(page);
      const note = page.getByRole('button', { name: 'Close this message' });
      if ((await note.count()) > 0) await note.first().click();
      await page.locator('.main').evaluate((main) => main.scrollTo(0, 0));
      for (const theme of THEMES) {
        await page.getByRole('button', { name: theme === 'dark' ? 'Dark' : 'Light', exact: true }).click();
        for (const [width, height] of Object.entries(SIZES)) await shoot(page, `${name}-${width}-${theme}.png`, height);
      }
    }
  }, 300_000);

  /** Makes one picture, if it is wanted. */
  async function shoot(page: Page, file: string, height: number): Promise<void> {
    const [, width = '', theme = ''] = file.split(/[-.]/);
    const isNamed = GUIDE.includes(`(dashboard/${file})`);
    if (wish === '' ? !FEW.includes(`${width}-${theme}`) : isForDocs && !isNamed) return;
    await page.setViewportSize({ width: Number(width), height });
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    const path = join(folder, file);
    await page.screenshot({ path });
    // A blank page compresses to next to nothing.
    expect(statSync(path).size).toBeGreaterThan(10_000);
    if (isForDocs) copyFileSync(path, join(DOCS, 'dashboard', file));
  }

  /** Has the page asked something, as the one whom an agent knows. */
  async function ask(page: Page): Promise<void> {
    const [, , scout] = lively.clients;
    await page.getByLabel('You are').fill('judge');
    await page.getByRole('button', { name: 'Take this name' }).click();
    await page.getByText('@judge reaches you').waitFor();
    scout?.request('@judge', { question: QUESTION }, { timeoutMs: 600_000 }).catch(() => {});
  }

  it('stand in the documentation', () => {
    const named = [...GUIDE.matchAll(/\(dashboard\/([\w-]+\.png)\)/g)].map(([, file = '']) => file);
    expect(named.length).toBeGreaterThan(2);
    for (const file of named) expect(statSync(join(DOCS, 'dashboard', file)).size).toBeGreaterThan(15_000);
  });
});
