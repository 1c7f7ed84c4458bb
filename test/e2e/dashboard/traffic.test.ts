import { setTimeout } from 'node:timers/promises';
import { ArqonBusClient } from '@arqonbus/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards } from '../../fixtures/dashboard.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';

/** What the page's window is made to be, so that frames come when a test says so. */
interface Screen {
  arrived: number;
  isHeld: boolean;
  requestAnimationFrame: typeof requestAnimationFrame;
  release(): void;
}

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

  it('at 5,000 messages a second leaves the page awake, and draws no more than is seen', async () => {
    const { page, faults } = await dashboards.open(server.urls.http, 'rooms/fast/lane');
    await page.getByText('No message here yet.').waitFor();
    await page.evaluate(() => {
      const scope = globalThis as unknown as { frames: number };
      scope.frames = 0;
      const frame = (): void => {
        scope.frames += 1;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
    for (let burst = 0; burst < 20; burst += 1) {
      for (let n = 1; n <= 500; n += 1) void sender.publish('fast:lane', { burst, n }, { ack: false });
      await setTimeout(100);
    }
    await sender.publish('fast:lane', { last: true });
    await page.locator('.tail-row', { hasText: '"last":true' }).waitFor({ timeout: 60_000 });
    // It took two seconds at least, however fast the machine is; a page that stands still draws none.
    expect(await page.evaluate(() => (globalThis as unknown as { frames: number }).frames)).toBeGreaterThan(10);
    expect(await page.locator('.tail-row').count()).toBeLessThan(200);
    expect(faults).toEqual([]);
  }, 120_000);

  it('is counted where it came faster than it can be shown', async () => {
    const { page, faults } = await dashboards.open(server.urls.http, 'overview');
    // A screen that draws no frame until it is told to, and a count of what has arrived meanwhile.
    await page.addInitScript(() => {
      const scope = globalThis as unknown as Screen;
      const [draw, parse] = [scope.requestAnimationFrame, JSON.parse];
      const held: FrameRequestCallback[] = [];
      scope.arrived = 0;
      scope.isHeld = false;
      scope.requestAnimationFrame = (run) => (scope.isHeld ? held.push(run) : draw(run));
      scope.release = () => {
        scope.isHeld = false;
        for (const run of held.splice(0)) draw(run);
      };
      JSON.parse = (text, reviver) => {
        const value = parse(text, reviver);
        if (value?.payload?.storm !== undefined) scope.arrived += 1;
        return value;
      };
    });
    await page.goto(`${server.urls.http}/?held#/rooms/storm/here`);
    await page.getByText('No message here yet.').waitFor();
    await sender.publish('storm:here', { first: true });
    await page.locator('.tail-row', { hasText: '"first":true' }).waitFor();
    await page.evaluate(() => {
      (globalThis as unknown as Screen).isHeld = true;
    });
    for (let n = 1; n <= 1_000; n += 1) void sender.publish('storm:here', { storm: n }, { ack: false });
    await expect.poll(() => page.evaluate(() => (globalThis as unknown as Screen).arrived)).toBe(1_000);
    await page.evaluate(() => (globalThis as unknown as Screen).release());
    await page.getByText('800 skipped: they came faster than they can be shown').waitFor();
    await page.getByText('201 shown').waitFor();
    await page.locator('.tail-row', { hasText: '"storm":1000' }).waitFor();
    expect(faults).toEqual([]);
  }, 60_000);

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
