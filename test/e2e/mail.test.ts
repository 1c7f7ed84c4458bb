import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { BusProcess } from './faults/bus-process.ts';

type Frame = Awaited<ReturnType<Peer['next']>>;

const PATIENT = { timeout: 90_000, interval: 100 };
const INBOX = { room: '@', channel: 'ada', group: 'inbox' };
/** Time enough for whoever is alive; what a connection that died had in its hands comes again soon. */
const ACK_WAIT_SECONDS = 5;
/** How much a reader has in its hands at once, and so how many answers a kill can take along. */
const PREFETCH = 20;

/** Handles what comes to a mailbox until its line drops; notes what it was answered for. */
function handle(reader: Peer, onHandled: (mail: Frame) => void): void {
  const loop = async (): Promise<void> => {
    for (;;) {
      const mail = await reader.next((frame) => frame.metadata?.delivery !== undefined);
      const { delivery } = mail.metadata ?? {};
      const { token } = delivery as { token: string };
      void reader.command('delivery.ack', { tokens: [token] }).then(({ status }) => {
        if (status === 'success') onHandled(mail);
      });
    }
  };
  void loop();
}

async function mail(sender: Peer, numbers: readonly number[]): Promise<string[]> {
  const sent = numbers.map((n) =>
    sender.answer(sender.send({ type: 'private', to: '@ada', ack: true, payload: { n }, options: { receipt: true } })),
  );
  return (await Promise.all(sent)).map(({ type, request_id, error }) => {
    if (type !== 'ack') throw new Error(error);
    return String(request_id);
  });
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

async function read(reader: Peer, channel = 'ada'): Promise<void> {
  await reader.ask('join_channel', { ...INBOX, channel, prefetch: PREFETCH });
}

describe('mail over processes that are killed', () => {
  it('is kept, handled once and told once, whatever the one bus was doing', { timeout: 180_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-mail-'));
    const bus = await BusProcess.start('node-a', {
      ARQONBUS_STORAGE_BACKEND: 'sqlite',
      ARQONBUS_SQLITE_PATH: join(directory, 'bus.db'),
    });
    const again = async (): Promise<void> => {
      await bus.kill();
      await bus.start();
    };
    const ids: string[] = [];
    const creator = await Peer.connect(bus.url, { subject: 'ada' });
    await creator.ask('group.create', { ...INBOX, ack_wait_seconds: ACK_WAIT_SECONDS });
    for (const some of [numbers(1, 120), numbers(121, 240)]) {
      const bob = await Peer.connect(bus.url, { subject: 'bob' });
      ids.push(...(await mail(bob, some)));
      await again();
    }
    const handled: string[] = [];
    const note = ({ id }: Frame): void => void handled.push(id);
    for (const enough of [70, 140]) {
      const ada = await Peer.connect(bus.url, { subject: 'ada' });
      await read(ada);
      handle(ada, note);
      await expect.poll(() => handled.length, PATIENT).toBeGreaterThan(enough);
      await again();
    }
    const ada = await Peer.connect(bus.url, { subject: 'ada' });
    await read(ada);
    handle(ada, note);
    await expect.poll(() => ada.ask('group.info', INBOX), PATIENT).toMatchObject({ handled: 240, pending: 0 });
    // What was answered for was handled once; an answer may have been lost with the process.
    expect(new Set(handled).size).toBe(handled.length);
    expect(handled.every((id) => ids.includes(id))).toBe(true);
    expect(handled.length).toBeGreaterThanOrEqual(240 - 2 * PREFETCH);
    const bob = await Peer.connect(bus.url, { subject: 'bob' });
    const receipts: Frame[] = [];
    await read(bob, 'bob');
    handle(bob, (receipt) => receipts.push(receipt));
    await expect.poll(() => receipts.length, PATIENT).toBe(240);
    expect(new Set(receipts.map(({ request_id }) => request_id))).toEqual(new Set(ids));
    expect(receipts.every(({ payload }) => payload.stage === 'handled')).toBe(true);
    await expect
      .poll(() => bob.ask('group.info', { ...INBOX, channel: 'bob' }), PATIENT)
      .toMatchObject({ handled: 240, pending: 0, unacked: 0 });
    await bus.stop();
    await rm(directory, { recursive: true });
  });

  it.runIf(hasRedis())(
    'is told once to a connection elsewhere when the node that drives the mailbox is killed',
    {
      timeout: 180_000,
    },
    async () => {
      const redis = await PrivateRedis.start({ sync: 'always' });
      const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
      const driving = await BusProcess.start('node-a', settings);
      const first = await Peer.connect(driving.url, { subject: 'ada' });
      // The node that knew the group first drives it.
      await first.ask('group.create', { ...INBOX, ack_wait_seconds: ACK_WAIT_SECONDS });
      const other = await BusProcess.start('node-b', settings);
      const [bob, ada] = [
        await Peer.connect(other.url, { subject: 'bob' }),
        await Peer.connect(other.url, { subject: 'ada' }),
      ];
      const ids = await mail(bob, numbers(1, 80));
      const handled: string[] = [];
      handle(ada, ({ id }) => handled.push(id));
      await read(ada);
      await expect.poll(() => handled.length, PATIENT).toBeGreaterThan(25);
      await driving.kill();
      ids.push(...(await mail(bob, numbers(81, 120))));
      await expect.poll(() => ada.ask('group.info', INBOX), PATIENT).toMatchObject({ handled: 120, pending: 0 });
      const receipts = (): Frame[] => bob.inbox.filter(({ payload }) => payload.stage === 'handled');
      await expect.poll(() => receipts().length, PATIENT).toBe(120);
      expect(new Set(receipts().map(({ request_id }) => request_id))).toEqual(new Set(ids));
      expect(new Set(handled).size).toBe(handled.length);
      await bob.ask('ping');
      expect(receipts()).toHaveLength(120);
      const { messages } = await bob.ask('history', { room: '@', channel: 'bob' });
      expect(messages).toEqual([]);
      await other.stop();
      await redis.stop();
    },
  );
});
