import { ArqonBusClient } from '@arqonbus/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasChromium } from '../../fixtures/browser.ts';
import { shareDashboards, show } from '../../fixtures/dashboard.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';

describe.skipIf(!hasChromium())('agents on the dashboard', () => {
  const dashboards = shareDashboards();
  const clients: ArqonBusClient[] = [];
  let server: TestServer;
  let base: string;

  beforeAll(async () => {
    server = await startTestServer();
    base = server.urls.http;
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((one) => one.close()));
  });
  afterAll(() => server.stop());

  async function agent(name: string): Promise<ArqonBusClient> {
    const client = new ArqonBusClient({
      url: server.urls.bus,
      subject: name,
      screenName: name,
      clientType: 'ai-agent',
      reconnect: false,
    });
    clients.push(client);
    await client.connect();
    return client;
  }

  it('ask a person, in the mailbox and live, and get the answers', async () => {
    const planner = await agent('planner');
    // Before anybody is there to read it.
    const early = planner.request('@judge', { question: 'May I order 40 lamps?' }, { timeoutMs: 600_000 });
    early.catch(() => {});
    const { page, faults } = await dashboards.open(base, 'agents');
    await page.getByText('Nobody waits for an answer.').waitFor();
    await page.getByLabel('You are').fill('judge');
    await page.getByRole('button', { name: 'Take this name' }).click();
    const asked = page.getByRole('region', { name: 'Question of planner' });
    await asked.getByText('May I order 40 lamps?').waitFor();
    await asked.getByText(/\d+ min left/).waitFor();
    await page.getByRole('navigation').getByText('1').waitFor();
    await asked.getByRole('button', { name: 'Approve' }).click();
    expect((await early).payload).toEqual({ approved: true });
    await page.getByText('Your answer went to planner.').waitFor();

    // Whichever view is open.
    await show(page, base, 'overview');
    const live = planner.request(
      'sub:judge',
      { question: 'Which colour?', among: ['black', 'white'] },
      { timeoutMs: 600_000 },
    );
    live.catch(() => {});
    await page.getByRole('navigation').getByText('waiting for an answer').waitFor({ state: 'attached' });
    await page.getByRole('link', { name: 'Agents' }).click();
    await asked.getByText('among').waitFor();
    await asked.getByLabel('Your answer').fill('the white ones');
    await asked.getByRole('button', { name: 'Answer', exact: true }).click();
    expect((await live).payload).toEqual({ text: 'the white ones' });
    await page.getByText('Nobody waits for an answer.').waitFor();

    // The name is kept, and what was answered does not come again.
    await page.reload();
    await expect.poll(() => page.getByLabel('You are').inputValue()).toBe('judge');
    planner.request('@judge', { text: 'And in which room?' }, { timeoutMs: 600_000 }).catch(() => {});
    await asked.getByText('And in which room?').waitFor();
    expect(await page.locator('.question').count()).toBe(1);

    // Whoever has gone meanwhile finds the answer in the mailbox.
    await planner.close();
    await asked.getByRole('button', { name: 'Refuse' }).click();
    await page.getByText('Your answer went to planner.').waitFor();
    const mail = await (await agent('planner')).mailbox();
    expect((await mail.next())?.payload).toEqual({ approved: false });
    expect(faults).toEqual([]);
  }, 60_000);

  it('write, and one reads along, from what there is to the end', async () => {
    const writer = await agent('poet');
    const { stream_id } = await writer.command('stream.open', { room: 'poems', channel: 'new' });
    await writer.command('stream.append', { stream_id, text: 'Once upon ' });
    const { page } = await dashboards.open(base, 'agents');
    await page.getByRole('row', { name: 'poet' }).getByRole('button', { name: 'Read' }).click();
    const text = page.getByRole('region', { name: 'Text of poet' });
    await text.getByText('Once upon').waitFor();
    await writer.command('stream.append', { stream_id, text: 'a time<b>\u202e' });
    await text.getByText('Once upon a time<b>⟨U+202E⟩').waitFor();
    const cancelled = new Promise((resolve) =>
      writer.on('notice', ({ payload }) => payload.event === 'stream_cancel' && resolve(payload)),
    );
    await text.getByRole('button', { name: 'Ask to stop' }).click();
    await page.getByText('was asked to stop').waitFor();
    await cancelled;
    await writer.command('stream.close', { stream_id, status: 'cancelled' });
    await text.getByText('cancelled').waitFor();
    await page.getByText('Nothing is being written.').waitFor();
  }, 60_000);

  it('are found by skill, and mail is seen that nobody reads', async () => {
    const sums = await agent('sums');
    await sums.identify({ card: { skills: [{ id: 'add', name: 'Addition', tags: ['math'] }] }, state: 'idle' });
    const other = await agent('other');
    await other.send('@nobody-reads', { text: 'hello?' });
    const { page } = await dashboards.open(base, 'agents');
    await page.getByLabel('Find').fill('math');
    await page.getByText('Addition').waitFor();
    await expect.poll(() => page.locator('.card').count()).toBe(1);
    await page.getByRole('row', { name: '@nobody-reads' }).getByText('nobody yet').waitFor();
  }, 60_000);

  it('have a line with figures, and what they do is logged as it happens', async () => {
    const busy = await agent('busy');
    const { page } = await dashboards.open(base, `clients/${busy.id}`);
    const panel = page.getByRole('region', { name: 'busy', exact: true });
    await panel.getByText('127.0.0.1').waitFor();
    await panel.getByText('none', { exact: true }).waitFor();
    await expect
      .poll(async () => {
        for (let n = 0; n < 20; n += 1) await busy.publish('noise:here', { n });
        return panel.getByText(/^[1-9][\d.]*\/s, [\d,]+ in all/).count();
      })
      .toBeGreaterThan(0);
    // What the feed over HTTP does not tell comes over the channel.
    await page.route('**/telemetry/events*', (route) => route.fulfill({ json: { events: [], count: 0 } }));
    await show(page, base, 'log');
    await page.getByLabel('Events').fill('client_joined');
    await busy.subscribe('noise:later', { onMessage: () => {} });
    await page.getByRole('row', { name: 'later' }).waitFor();
  }, 60_000);
});
