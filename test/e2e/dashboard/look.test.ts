import { mkdirSync } from 'node:fs';
import { it } from 'vitest';
import { launch, openPage } from '../../fixtures/browser.ts';
import { startLively } from '../../fixtures/lively.ts';
it('looks', async () => {
  const lively = await startLively();
  const browser = await launch();
  const out = '/tmp/shots'; mkdirSync(out, { recursive: true });
  const timer = setInterval(() => { for (let i = 0; i < 20; i++) void lively.clients[1]!.publish('orders:flow', { n: i, at: Date.now() }, { ack: false }).catch(() => {}); }, 200);
  const only = process.env.ONLY;
  try {
    for (const [width, height, theme] of [[1280, 900, 'dark'], [1280, 900, 'light'], [420, 860, 'dark'], [2560, 1440, 'light']] as const) {
      if (only && !`${width}${theme}`.match(only)) continue;
      const { page, context, faults } = await openPage(browser, lively.server.urls.http, { width, height, theme });
      await page.goto(`${lively.server.urls.http}/`);
      await page.getByRole('heading', { name: 'Overview' }).waitFor();
      await page.waitForTimeout(9000);
      await page.screenshot({ path: `${out}/overview-${width}-${theme}.png` });
      for (const path of ['rooms', 'rooms/orders/new', 'rooms/orders/flow', 'clients', 'agents', 'operators', 'casil', 'access', 'log']) {
        await page.goto(`${lively.server.urls.http}/#/${path}`);
        await page.waitForTimeout(1200);
        if (path === 'rooms/orders/new') { await page.locator('[data-item].tail-row').first().click(); await page.waitForTimeout(300);
          await page.screenshot({ path: `${out}/message-${width}-${theme}.png` });
          await page.getByRole('tab', { name: 'Groups' }).click(); await page.waitForTimeout(800); }
        await page.screenshot({ path: `${out}/${path.replaceAll('/', '_')}-${width}-${theme}.png` });
        if (path === 'rooms/orders/new') await page.screenshot({ path: `${out}/full-${width}-${theme}.png`, fullPage: true });
      }
      console.log(width, theme, faults);
      await context.close();
    }
  } finally { clearInterval(timer); await browser.close(); await lively.stop(); }
}, 240_000);
