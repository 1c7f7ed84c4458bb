import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failureOf, type Numbered } from './connected.suite.ts';
import { NoRespondersError } from './errors.ts';
import { RealBus } from './real-bus.suite.ts';
import type { Receipt } from './receipts.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

const PATIENT = { timeout: 15_000 };
const PATIENT_MS = { timeoutMs: 15_000 };

describe('mail of the real server', () => {
  it('waits for its subject, and its sender hears when it was handled', async () => {
    const bob = await bus.connect({ subject: 'bob' });
    const sent = await bob.send('@ada', { n: 1 }, { receipt: true });
    expect(sent).toMatchObject({ queued: ['@ada'], pending: 1, undelivered: [] });
    const ada = await bus.connect({ subject: 'ada' });
    const mailbox = await ada.mailbox<Numbered>({ manualAck: true });
    const message = await mailbox.next(PATIENT_MS);
    expect([message.id, message.payload.n, message.sender?.subject]).toEqual([sent.id, 1, 'bob']);
    await message.ack();
    expect(await sent.handled).toEqual({ id: sent.id, stage: 'handled', by: 'ada', attempts: 1 });
  });

  it('keeps the receipt for a sender that has gone, which is told of it when it reads its mailbox', async () => {
    const cyd = await bus.connect({ subject: 'cyd' });
    const sent = await cyd.send('@dan', { n: 1 }, { receipt: true });
    await cyd.close();
    const dan = await bus.connect({ subject: 'dan' });
    await dan.mailbox({ onMessage: () => {} });
    const back = await bus.connect({ subject: 'cyd' });
    const told: Receipt[] = [];
    back.on('receipt', (receipt) => void told.push(receipt));
    const mailbox = await back.mailbox({ manualAck: true });
    await expect.poll(() => told, PATIENT).toEqual([{ id: sent.id, stage: 'handled', by: 'dan', attempts: 1 }]);
    const place = { room: '@', channel: 'cyd', group: mailbox.group };
    await expect.poll(() => back.command('group.info', place), PATIENT).toMatchObject({ handled: 1, unacked: 0 });
  });

  it('tells of an event that a group has rejected', async () => {
    const at = `${bus.freshRoom()}:orders`;
    const [sender, worker] = [await bus.connect(), await bus.connect()];
    const told: Receipt[] = [];
    sender.on('receipt', (receipt) => void told.push(receipt));
    await worker.subscribe(at, { group: 'billing', onMessage: (message) => message.reject('never') });
    const sent = await sender.publish(at, { n: 1 }, { receipt: 'billing' });
    await expect.poll(() => told, PATIENT).toMatchObject([{ id: sent.id, stage: 'rejected', attempts: 1 }]);
  });
});

describe('requests to the real server', () => {
  it('are answered by one of those who serve a channel, or refused at once', async () => {
    const at = `${bus.freshRoom()}:sum`;
    const [asker, one, two] = [await bus.connect(), await bus.connect(), await bus.connect()];
    expect(await failureOf(asker.request(at, {}))).toBeInstanceOf(NoRespondersError);
    for (const server of [one, two]) {
      await server.onRequest(at, ({ a, b }: { a: number; b: number }) => ({ sum: a + b }));
    }
    const asked = [1, 2, 3, 4].map((a) => asker.request<{ sum: number }>(at, { a, b: 10 }, { timeoutMs: 20_000 }));
    expect((await Promise.all(asked)).map(({ payload }) => payload.sum)).toEqual([11, 12, 13, 14]);
    const light = await asker.request<{ sum: number }>(at, { a: 5, b: 10 }, { timeoutMs: 20_000, ephemeral: true });
    expect(light.payload.sum).toBe(15);
  });

  it('go to one connection of a subject, and to a mailbox', async () => {
    const asker = await bus.connect();
    const eve = await bus.connect({ subject: 'eve' });
    eve.onRequest(({ n }: Numbered) => ({ n: n + 1 }));
    expect((await asker.request<Numbered>('sub:eve', { n: 1 })).payload.n).toBe(2);
    const fay = await bus.connect({ subject: 'fay' });
    const mailbox = await fay.mailbox<Numbered>({ manualAck: true });
    const answer = asker.request<Numbered>('@fay', { n: 2 }, { timeoutMs: 20_000 });
    const question = await mailbox.next(PATIENT_MS);
    await fay.reply(question as never, { n: 3 });
    await question.ack();
    expect((await answer).payload.n).toBe(3);
  });
});
