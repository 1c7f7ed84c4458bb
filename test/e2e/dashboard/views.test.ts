import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { barriers, shareDashboards, show } from '../../fixtures/dashboard.ts';
import { type Lively, startLively } from '../../fixtures/lively.ts';

/** Each view, and what has to be seen in it of what goes on. */
const VIEWS: readonly (readonly [view: string, ...seen: string[]])[] = [
  ['overview', 'Connections', 'Event-loop lag', 'Healthy', 'node-a'],
  ['rooms', 'orders', 'explore', 'Kept', 'KiB', 'No channel is open'],
  ['rooms/orders/new', '"id":1041', 'Shop', 'Send', 'sequence 3', 'keeps 3 of 500 events, 1.'],
  ['clients', 'Ada', 'packer', 'Scout', 'this page'],
  [
    'agents',
    'Scout',
    'Looks for what others have missed',
    'busy',
    'reading the archive of 2024',
    'Summaries',
    'Nobody waits for an answer.',
    '@clerk',
    'nobody yet',
    'Texts being written',
  ],
  ['operators', 'http://127.0.0.1:9/hook', 'orders:new'],
  ['casil', 'CASIL_POLICY_BLOCKED_SECRET', 'Try a text', 'block on probable secret'],
  ['access', 'Nobody is blocked.', 'No token was revoked.'],
  ['log', 'client_connected'],
];

/** Run in the page: the pixels by which it is wider than what shows it. */
function excessWidth(): number {
  const main = document.querySelector('.main') as HTMLElement;
  return Math.max(main.scrollWidth - main.clientWidth, document.documentElement.scrollWidth - innerWidth);
}

describe.skipIf(!hasChromium())('the views of the dashboard', () => {
  const dashboards = shareDashboards();
  let lively: Lively;

  beforeAll(async () => {
    lively = await startLively();
  }, 60_000);
  afterAll(() => lively.stop());

  it('show what goes on, without barriers in either theme, and need no scrolling sideways at any width', async () => {
    const base = lively.server.urls.http;
    const { page, faults } = await dashboards.open(base);
    for (const [view, ...seen] of VIEWS) {
      await show(page, base, view);
      for (const text of seen) await page.locator('.main').getByText(text).first().waitFor();
      expect(await barriers(page), `${view}, dark`).toEqual([]);
      for (const width of [420, 3840]) {
        await page.setViewportSize({ width, height: 900 });
        // Charts take their new width a frame later.
        await expect.poll(() => page.evaluate(excessWidth), { message: `${view} at ${width} px` }).toBe(0);
      }
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.getByRole('button', { name: 'Light', exact: true }).click();
      expect(await barriers(page, ['color-contrast']), `${view}, light`).toEqual([]);
      await page.getByRole('button', { name: 'Dark', exact: true }).click();
    }
    expect(faults).toEqual([]);
  }, 180_000);

  it('draw figures that grow while one looks', async () => {
    const { page } = await dashboards.open(lively.server.urls.http);
    const tile = page.locator('.tile', { hasText: 'In' }).first();
    const [, shop] = lively.clients;
    await expect
      .poll(
        async () => {
          for (let n = 0; n < 40; n += 1) await shop?.publish('orders:flow', { n });
          return Number.parseFloat((await tile.locator('dd').textContent()) ?? '');
        },
        { timeout: 30_000, interval: 500 },
      )
      .toBeGreaterThan(1);
    expect(await page.locator('.chart canvas').count()).toBe(6);
  }, 60_000);

  it('tell what each channel keeps and how fast it grows, and put the largest first', async () => {
    const { page } = await dashboards.open(lively.server.urls.http, 'rooms');
    const [, shop] = lively.clients;
    await shop?.publish('zoo:apes', { n: 1 });
    await shop?.publish('zoo:zebras', { body: 'x'.repeat(20_000) });
    await page.getByRole('link', { name: /^zebras 19\.\d KiB/ }).waitFor();
    const ofZoo = async (): Promise<string[]> =>
      (await page.locator('.tree-channel .tree-name').allTextContents()).filter((name) => /^(apes|zebras)$/.test(name));
    expect(await ofZoo()).toEqual(['apes', 'zebras']);
    await page.getByRole('button', { name: 'Sort by kept' }).click();
    await expect.poll(ofZoo).toEqual(['zebras', 'apes']);
    await page.getByRole('button', { name: 'Sort by channel' }).click();
    await expect.poll(ofZoo).toEqual(['apes', 'zebras']);
    const growing = page.getByRole('link', { name: /^apes [\d.]+\/s / });
    const publish = async (): Promise<number> => {
      await shop?.publish('zoo:apes', { n: 2 });
      return growing.count();
    };
    await expect.poll(publish, { timeout: 30_000, interval: 500 }).toBe(1);
  }, 60_000);

  it('show the groups of a channel, with their dead letters, and hand those out again', async () => {
    const [, shop] = lively.clients;
    await shop?.command('group.create', {
      room: 'jobs',
      channel: 'mail',
      group: 'mailers',
      start: 'all',
      max_attempts: 1,
    });
    await shop?.publish('jobs:mail', { to: 'nobody' });
    const pulled = await shop?.command('group.pull', {
      room: 'jobs',
      channel: 'mail',
      group: 'mailers',
      wait_ms: 5_000,
    });
    const token = (pulled?.messages[0]?.metadata?.delivery as { token: string } | undefined)?.token ?? '';
    await shop?.command('delivery.reject', { tokens: [token], reason: 'no such address' });
    const { page } = await dashboards.open(lively.server.urls.http, 'rooms/jobs/mail');
    await page.getByRole('tab', { name: 'Groups' }).click();
    const row = page.getByRole('row', { name: /mailers/ });
    await row.getByRole('button', { name: '1', exact: true }).click();
    await page.getByText('no such address').waitFor();
    await page.getByRole('button', { name: 'Retry', exact: true }).click();
    await page.getByText('1 handed out again.').waitFor();
    await expect
      .poll(
        async () =>
          (await shop?.command('group.info', { room: 'jobs', channel: 'mail', group: 'mailers' }))?.dead_letters,
      )
      .toBe(0);
  }, 60_000);

  it('show what a webhook could not post, and post it again', async () => {
    let isUp = false;
    const posted: string[] = [];
    const receiver: Server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        if (isUp) posted.push(body);
        response.writeHead(isUp ? 200 : 503).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const { port } = receiver.address() as AddressInfo;
    const [ada, shop] = lively.clients;
    await ada?.webhooks.register({ url: `http://127.0.0.1:${port}/mail`, room: 'bills', channel: 'new' });
    for (const bill of [7, 8]) await shop?.publish('bills:new', { bill });
    try {
      const { page } = await dashboards.open(lively.server.urls.http, 'operators');
      const hook = page.getByRole('row', { name: `127.0.0.1:${port}` });
      await hook.getByRole('button', { name: '2', exact: true }).click();
      const letters = page.getByRole('region', { name: 'Dead letters' });
      await letters.getByText('"bill":8').waitFor();
      await letters.getByText('503').first().waitFor();
      isUp = true;
      await letters.getByRole('row', { name: '"bill":7' }).getByRole('button', { name: 'Retry' }).click();
      await page.getByText('1 will be posted again.').waitFor();
      await expect.poll(() => posted.length).toBe(1);
      expect(posted[0]).toContain('"bill":7');
      await page.getByRole('button', { name: 'Retry all' }).click();
      await page.getByRole('button', { name: 'Really?' }).click();
      await page.getByText('There are none any more.').waitFor();
      await expect.poll(() => posted.length).toBe(2);
    } finally {
      receiver.close();
    }
  }, 60_000);

  it('ask for what the schema of a channel asks for, and publish it', async () => {
    const { page } = await dashboards.open(lively.server.urls.http, 'rooms/parts/new');
    const fields = page.getByRole('group', { name: 'As the channel’s schema says' });
    await fields.getByLabel('sku (required)').fill('lamp');
    await page.getByText('SCHEMA_MISMATCH').waitFor();
    await fields.getByLabel('count (required)').fill('3');
    await fields.getByLabel('urgent').selectOption('true');
    await fields.getByLabel('colour').selectOption('white');
    const payload = await page.getByLabel('Payload, a JSON object').inputValue();
    expect(JSON.parse(payload)).toMatchObject({ sku: 'lamp', count: 3, urgent: true, colour: 'white' });
    await page.getByText('would be sent').waitFor();
    await page.getByRole('button', { name: 'Send' }).click();
    await page.locator('.tail-row', { hasText: '"colour":"white"' }).waitFor();
  }, 60_000);

  it('tell what holds for a channel, and what would come of a message before it is sent', async () => {
    const { page } = await dashboards.open(lively.server.urls.http, 'rooms/science/explore');
    const [ada] = lively.clients;
    const payload = page.getByLabel('Payload, a JSON object');
    await page.getByText('would be sent').waitFor();
    await payload.fill('{"note": "key AKIAIOSFODNN7EXAMPLE"}');
    await page.getByText('CASIL_POLICY_BLOCKED_SECRET').waitFor();
    await payload.fill('not yet');
    await page.getByText('This is not JSON yet').waitFor();
    expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
    await page.getByRole('tab', { name: 'Rules' }).click();
    await page.getByText('publish: yes').waitFor();
    await page.getByRole('tab', { name: 'Members' }).click();
    await page.getByText('reading papers').waitFor();
    expect(ada?.state).toBe('open');
  }, 60_000);

  it('show the store with versions, the jobs and the leases', async () => {
    const { page } = await dashboards.open(lively.server.urls.http, 'operators');
    await page.getByRole('tab', { name: 'Cron' }).click();
    await page.getByText('0 9 * * 1-5 (UTC)').waitFor();
    await page.getByRole('tab', { name: 'Leases' }).click();
    await page.getByText('lease: printer/3').waitFor();
    await page.getByRole('tab', { name: 'Store' }).click();
    await page.getByLabel('Keys that begin with').fill('shop/st');
    await page.getByRole('button', { name: 'shop/stock/lamp' }).click();
    await page.getByText(/^shop\/stock\/lamp, version \d+$/).waitFor();
  }, 60_000);

  it('obey the keyboard', async () => {
    const base = lively.server.urls.http;
    const { page } = await dashboards.open(base, 'rooms/orders/new');
    await page.locator('.tail-row').nth(2).waitFor();
    await page.keyboard.press('/');
    expect(await page.evaluate(() => document.activeElement?.matches('[data-search]'))).toBe(true);
    await page.keyboard.press('Escape');
    await page.locator('.tail-row').first().focus();
    await page.keyboard.press('j');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toContain('1042');
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Message', exact: true }).waitFor();
    await page.keyboard.press('p');
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
  }, 60_000);
});
