import { ArqonBusClient } from '@arqonbus/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards } from '../../fixtures/dashboard.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';

describe.skipIf(!hasChromium())('what goes through a channel', () => {
  const dashboards = shareDashboards();
  let server: TestServer;
  let sender: ArqonBusClient;

  beforeAll(async () => {
    server = await startTestServer();
    sender = new ArqonBusClient({ url: server.urls.bus, subject: 'mallory', screenName: '<b>Mallory</b>\u202e' });
    await sender.connect();
  });
  afterAll(async () => {
    await sender.close();
    await server.stop();
  });

  it('is shown harmlessly, whatever it is', async () => {
    let deep: object = { end: true };
    for (let level = 0; level < 50; level += 1) deep = { deep };
    const hostile = {
      html: '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>',
      escape: '\u001b[2J\u001b]0;taken\u0007',
      reversed: '\u202egpj.exe',
      __proto__: null,
      deep,
      long: 'x'.repeat(1_000_000),
    };
    await sender.publish('hostile:pit', hostile);
    const { page, faults } = await dashboards.open(server.urls.http, 'rooms/hostile/pit');
    const row = page.locator('.tail-row').first();
    await row.click();
    await page.getByRole('heading', { name: 'Message', exact: true }).waitFor();
    const message = page.getByRole('region', { name: 'Message', exact: true });
    await message.getByText('⟨U+202E⟩gpj.exe').waitFor();
    await message.getByText('␛[2J').waitFor();
    await message.getByRole('button', { name: /more characters/ }).waitFor();
    expect(await page.title()).not.toContain('taken');
    expect(await page.locator('.main img, .main script, .main b:has-text("Mallory")').count()).toBe(0);
    const drawn = await page.evaluate(() => document.body.innerHTML.length);
    expect(drawn).toBeLessThan(200_000);
    // As deep as one likes, level by level.
    for (let level = 0; level < 5; level += 1) {
      await message.getByRole('button', { expanded: false }).first().click();
    }
    expect(faults).toEqual([]);
  }, 60_000);

  it('is read back to the first that is kept, and filtered', async () => {
    for (let n = 1; n <= 400; n += 1) await sender.publish('long:story', { n, parity: n % 2 === 0 ? 'even' : 'odd' });
    const { page } = await dashboards.open(server.urls.http, 'rooms/long/story');
    await page.locator('.tail-row', { hasText: '"n":400,' }).waitFor();
    const top = page.locator('.tail-row', { hasText: '"n":1,' });
    await expect
      .poll(async () => {
        await page.locator('.tail').evaluate((tail) => {
          tail.scrollTop = 0;
        });
        return top.count();
      })
      .toBe(1);
    await page.getByText('this is all that history keeps').waitFor();
    await page.getByLabel('JSON path').fill('parity=even');
    await page.getByText('200 shown of 400').waitFor();
    await page.getByLabel('Text').fill('"n":398');
    await page.getByText('1 shown of 400').waitFor();
  }, 60_000);

  it('at 5,000 messages a second leaves the page awake, and what was not shown is counted', async () => {
    const { page, faults } = await dashboards.open(server.urls.http, 'rooms/fast/lane');
    await page.getByText('No message here yet.').waitFor();
    await page.evaluate(() => {
      const scope = globalThis as unknown as { frames: number[] };
      scope.frames = [];
      let last = performance.now();
      const frame = (now: number): void => {
        scope.frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    const sent = 15_000;
    const started = performance.now();
    for (let n = 1; n <= sent; n += 1) {
      void sender.publish('fast:lane', { n }, { ack: false });
      if (n % 500 === 0)
        await new Promise((resolve) => setTimeout(resolve, 100 - ((performance.now() - started) % 100)));
    }
    await sender.publish('fast:lane', { last: true });
    await page.locator('.tail-row', { hasText: '"last":true' }).waitFor({ timeout: 60_000 });
    const { frames, foot } = await page.evaluate(() => ({
      frames: (globalThis as unknown as { frames: number[] }).frames,
      foot: document.querySelector('.tail-foot')?.textContent ?? '',
    }));
    const sorted = [...frames].sort((one, other) => one - other);
    const at = (share: number): number => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
    console.info(`frames: median ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms of ${sorted.length}; ${foot}`);
    // A machine that other tests share draws fewer frames; what must not happen is that the page stands still.
    expect(at(0.5)).toBeLessThan(100);
    expect(await page.locator('.tail-row').count()).toBeLessThan(200);
    expect(foot).toContain('5,000 shown');
    expect(faults).toEqual([]);
  }, 120_000);

  it('is copied as a command and as code', async () => {
    await sender.publish('copied:here', { text: "it's" });
    const { page } = await dashboards.open(server.urls.http, 'rooms/copied/here');
    await page.locator('.tail-row').first().click();
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    await page.getByText('The curl command was copied.').waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    expect(command).toContain(`'${server.urls.http}/v1/publish'`);
    expect(command).toContain(`it'\\''s`);
    await page.getByRole('button', { name: 'Copy as code' }).click();
    await page.getByText('The code was copied.').waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('client.publish("copied:here"');
  }, 60_000);
});
