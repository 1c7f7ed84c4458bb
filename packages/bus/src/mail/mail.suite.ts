import type { Envelope, JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../consumers/groups.suite.ts';
import { type Delivered, Node, type NodeOptions, numberOf, range, tokenOf, Worker } from '../consumers/rig.suite.ts';

const PATIENT = { timeout: 90_000, interval: 50 };
/** Who connects as `x` is the subject x; `nobody…` has none. */
const SUBJECTS: NodeOptions = {
  authenticate: (name) => (name.startsWith('nobody') ? {} : { subject: name }),
};
const ADA = { room: '@', channel: 'ada' };
/** What may wait in a mailbox unless a rule says otherwise. */
const MOST_MAIL = 1_000;

type Frame = Envelope<JsonObject>;

/** Sends one message, and answers its ack, or the error. */
export function send(worker: Worker, to: unknown, envelope: JsonObject = {}): Promise<Frame> {
  return worker.peer.answer(
    worker.peer.send({ type: 'private', to, payload: {}, ack: true, ...envelope }),
  ) as Promise<Frame>;
}

/** Handles what comes to a mailbox, and tells of each message. */
async function readMail(worker: Worker, onMail: (mail: Delivered) => void, channel = 'ada'): Promise<void> {
  // What takes long on a busy machine is not to come twice.
  await worker.ask('group.create', { room: '@', channel, group: 'inbox', ack_wait_seconds: 600 });
  await worker.join('inbox', { room: '@', channel }, 100);
  worker.work(onMail);
}

/**
 * Mail, receipts and requests, over the wire, as every engine must have them. `nodes`: how many share the backend. `mails`:
 * how many wait at once, as many as a rule lets wait.
 */
export function mailSuite(name: string, open: () => Promise<Backend>, nodes: 1 | 2, mails = 100): void {
  async function cluster(options: NodeOptions = SUBJECTS): Promise<[Node, Node]> {
    const backend = await open();
    const one = await Node.open(backend.engine('node-a'), { node: 'node-a', ...options });
    if (nodes === 1) return [one, one];
    return [one, await Node.open(backend.engine('node-b'), { node: 'node-b', ...options })];
  }

  const as = (node: Node, subject: string): Promise<Worker> => Worker.connect(node, { as: subject });

  describe(`mail on ${name}`, { timeout: 240_000 }, () => {
    it('P12.1 waits for its subject, is handled once, and says so to its sender', async () => {
      const [a, b] = await cluster();
      const bob = await as(a, 'bob');
      const first = await send(bob, '@ada', { payload: { n: 1 }, options: { receipt: true } });
      expect(first).toMatchObject({ type: 'ack', payload: { delivered: 0, undelivered: [], duplicate: false } });
      expect(first.payload).toMatchObject({ queued: ['@ada'], pending: 1, oldest_ms: expect.any(Number) });
      expect(first.payload.stored).not.toBe('none');
      const second = await send(bob, ['@ada'], { payload: { n: 2 } });
      expect(second.payload).toMatchObject({ queued: ['@ada'], pending: 2 });
      const ada = await as(b, 'ada');
      await ada.join('inbox', ADA);
      const [one, two] = await ada.take(2);
      expect(one).toMatchObject({
        id: first.request_id,
        type: 'private',
        ...ADA,
        to: '@ada',
        from: bob.peer.id,
        payload: { n: 1 },
        metadata: { sender: { subject: 'bob' }, receipt: true, delivery: { group: 'inbox', attempt: 1 } },
      });
      expect(two?.metadata).not.toHaveProperty('receipt');
      await ada.ack(one as Delivered, two as Delivered);
      const receipt = await bob.peer.next((frame) => frame.payload.stage !== undefined);
      expect(receipt).toMatchObject({
        type: 'ack',
        request_id: first.request_id,
        payload: { stage: 'handled', by: { subject: 'ada' }, attempts: 1 },
      });
      const third = await send(bob, '@ada', { payload: { n: 3 } });
      expect(third.payload).toMatchObject({ pending: 1 });
      expect(await bob.peer.received('ack')).toEqual([]);
      expect([...a.faults, ...b.faults]).toEqual([]);
    });

    it(`P12.2 is handled once each of ${mails} for an absence, with their receipts in the mailbox of who has gone`, async () => {
      const rules = mails === MOST_MAIL ? [] : [{ match: '@:*', history: { size: mails } }];
      const [a, b] = await cluster({ ...SUBJECTS, rules });
      const [bob, twin] = [await as(a, 'bob'), await as(b, 'bob')];
      const acks = await Promise.all(
        range(1, mails).map((n) =>
          send(n % 2 === 0 ? bob : twin, '@ada', { payload: { n }, options: { receipt: true } }),
        ),
      );
      expect(acks.filter(({ type }) => type !== 'ack')).toEqual([]);
      const counts = acks.map(({ payload }) => Number(payload.pending));
      expect(counts.toSorted((one, other) => one - other)).toEqual(range(1, mails));
      const full = await send(bob, '@ada');
      expect(full).toMatchObject({
        type: 'error',
        error_code: 'MAILBOX_FULL',
        payload: { retryable: true, pending: mails },
      });
      // The last one, sent again, was stored.
      const again = await send(bob, '@ada', { id: acks[mails - 1]?.request_id, payload: { n: mails } });
      expect(again.payload).toMatchObject({ duplicate: true, queued: ['@ada'], pending: mails });
      await bob.peer.close();
      await twin.peer.close();
      const ada = await as(b, 'ada');
      const handled: unknown[] = [];
      await readMail(ada, (mail) => handled.push(numberOf(mail)));
      await expect.poll(() => handled.length, PATIENT).toBe(mails);
      expect(handled.toSorted((one, other) => Number(one) - Number(other))).toEqual(range(1, mails));
      const back = await as(b, 'bob');
      const receipts: Delivered[] = [];
      await readMail(back, (mail) => receipts.push(mail), 'bob');
      await expect.poll(() => receipts.length, PATIENT).toBe(mails);
      const told = new Set(receipts.map((one) => (one as unknown as Frame).request_id));
      expect(told).toEqual(new Set(acks.map(({ request_id }) => request_id)));
      expect(receipts[0]).toMatchObject({
        type: 'private',
        from: 'arqonbus',
        to: '@bob',
        payload: { stage: 'handled', by: { subject: 'ada' } },
      });
      await expect
        .poll(() => ada.ask('group.info', { ...ADA, group: 'inbox' }), PATIENT)
        .toMatchObject({ pending: 0, handled: mails });
      expect((await send(back, '@ada')).payload).toMatchObject({ pending: 1 });
      expect([...a.faults, ...b.faults]).toEqual([]);
    });

    it('P11.2 P11.4 goes to each recipient as it is named, once for one id', async () => {
      const [a, b] = await cluster();
      const [bob, cyd] = [await as(a, 'bob'), await as(b, 'cyd')];
      const to = ['@ada', 'sub:cyd', 'sub:dan', '@eve'];
      const sent = await send(bob, to, { payload: { n: 1 }, request_id: 'arq_asked' });
      expect(sent.payload).toMatchObject({ queued: ['@ada', '@eve'], undelivered: ['sub:dan'], delivered: 1 });
      expect(await cyd.peer.message()).toMatchObject({ to, payload: { n: 1 }, request_id: 'arq_asked' });
      const again = await send(bob, to, { id: sent.request_id, payload: { n: 1 } });
      expect(again.payload).toMatchObject({ duplicate: true, queued: ['@ada', '@eve'], pending: 1 });
      const absent = await send(bob, ['sub:dan', '@ada'], { payload: { n: 2 } });
      expect(absent.payload).toMatchObject({
        duplicate: false,
        queued: ['@ada'],
        undelivered: ['sub:dan'],
        pending: 2,
      });
      expect(await cyd.peer.received('private')).toEqual([]);
      const eve = await as(b, 'eve');
      const { messages } = await eve.ask('history', { room: '@', channel: 'eve' });
      expect(messages).toMatchObject([{ type: 'private', to, payload: { n: 1 }, request_id: 'arq_asked' }]);
    });

    it('P11.3 keeps what waits beside any number of handled messages, within 1,000 and 16 MiB of it', async () => {
      const [a, b] = await cluster({ ...SUBJECTS, retention: { size: 10, ttlMs: 3_600_000 } });
      const [bob, ada] = [await as(a, 'bob'), await as(b, 'ada')];
      await send(bob, '@ada', { payload: { n: 0 } });
      await ada.ask('group.create', { ...ADA, group: 'inbox', ack_wait_seconds: 600 });
      await ada.join('inbox', ADA, 2);
      const held = await ada.next();
      for (const n of range(1, 30)) {
        await send(bob, '@ada', { payload: { n } });
        await ada.ack(await ada.next());
      }
      ada.drop();
      const large = { text: 'x'.repeat(900_000) };
      let last = await send(bob, '@ada', { payload: large });
      expect(last.payload.pending).toBe(2);
      for (let sent = 1; last.type === 'ack' && sent < 30; sent += 1)
        last = await send(bob, '@ada', { payload: large });
      // 18 of these are 16.2 MB, which 16 MiB hold with what else waits; the 19th is too much.
      expect(last).toMatchObject({ error_code: 'MAILBOX_FULL', payload: { pending: 19, mailbox: '@ada' } });
      expect((await send(bob, '@ada', { payload: { n: 31 } })).payload.pending).toBe(20);
      const both = await send(bob, ['@eve', '@ada'], { payload: large });
      expect(both).toMatchObject({ error_code: 'MAILBOX_FULL' });
      const eve = await as(b, 'eve');
      expect((await eve.ask('history', { room: '@', channel: 'eve' })).messages).toEqual([]);
      const back = await as(b, 'ada');
      await back.join('inbox', ADA, 1);
      const first = await back.next();
      expect([numberOf(first), first.metadata.delivery.attempt, first.id]).toEqual([0, 2, held.id]);
      await back.ack(first);
      expect((await send(bob, '@ada', { payload: { n: 32 } })).payload.pending).toBe(20);
    });

    it('P11.8 tells its sender when it was rejected, and when its time was over', async () => {
      const [a, b] = await cluster();
      const [bob, ada] = [await as(a, 'bob'), await as(b, 'ada')];
      const options = { receipt: true };
      const short = await send(bob, '@ada', { payload: { n: 1 }, options: { ...options, ttl_seconds: 0.2 } });
      const bad = await send(bob, '@ada', { payload: { n: 2 }, options });
      await expect
        .poll(async () => (await send(bob, '@ada', { payload: { n: 3 } })).payload.oldest_ms, PATIENT)
        .toBeGreaterThan(250);
      const told = (id: unknown) =>
        bob.peer.next((frame) => frame.request_id === id && frame.payload.stage !== undefined);
      await ada.join('inbox', ADA);
      const got = await ada.next();
      expect(numberOf(got)).toBe(2);
      expect((await told(short.request_id)).payload).toEqual({ stage: 'expired', attempts: 0 });
      await ada.ask('delivery.reject', { tokens: [tokenOf(got)], reason: 'no' });
      expect((await told(bad.request_id)).payload).toEqual({ stage: 'rejected', by: { subject: 'ada' }, attempts: 1 });
      const letters = await ada.ask('group.dead_letters', { ...ADA, group: 'inbox' });
      expect(letters.messages).toMatchObject([{ payload: { n: 2 }, metadata: { dead: { reason: 'no' } } }]);
      // No mailbox but ada's own has it.
      const other = await as(a, 'ada.dead');
      expect((await other.ask('history', { room: '@', channel: 'ada.dead' })).messages).toEqual([]);
    });

    it('P12.1 is told of when its time is over, though nobody has ever read it', async () => {
      const [a] = await cluster();
      const bob = await as(a, 'bob');
      const sent = await send(bob, '@eve', { options: { receipt: true, ttl_seconds: 0.3 } });
      const told = await bob.peer.next((frame) => frame.payload.stage !== undefined);
      expect(told).toMatchObject({ request_id: sent.request_id, payload: { stage: 'expired', attempts: 0 } });
    });

    it('tells the sender of an event what the group that it named made of it', async () => {
      const [a, b] = await cluster();
      const [bob, worker] = [await as(a, 'bob'), await as(b, 'eve')];
      await worker.join('g', { room: 'work', channel: 'jobs' });
      await worker.join('other', { room: 'work', channel: 'jobs' });
      const place = { room: 'work', channel: 'jobs' };
      const sent = await bob.peer.publish({ ...place, payload: { n: 1 }, options: { receipt: 'g' } });
      const [one, two] = await worker.take(2);
      const [mine, others] = one?.metadata.delivery.group === 'g' ? [one, two] : [two, one];
      await worker.ack(others as Delivered);
      await worker.ack(mine as Delivered);
      const receipt = await bob.peer.next((frame) => frame.payload.stage !== undefined);
      expect(receipt).toMatchObject({ type: 'ack', request_id: sent.request_id });
      expect(receipt.payload).toEqual({ stage: 'handled', by: { subject: 'eve' }, attempts: 1 });
      await bob.peer.ask('ping');
      expect(bob.peer.inbox.filter(({ payload }) => payload.stage !== undefined)).toEqual([]);
    });
  });

  describe(`requests on ${name}`, { timeout: 60_000 }, () => {
    const SUMS = { room: 'math', channel: 'sum' };
    const ask = (worker: Worker, request: JsonObject, more: JsonObject = {}): Promise<Frame> =>
      worker.peer.publish({ ...SUMS, payload: { n: 1 }, options: { request, ...more } }) as Promise<Frame>;

    it('P13.1 P13.4 go to one member of the group, whose answer comes back, and are refused when nobody is there', async () => {
      const [a, b] = await cluster();
      const [asker, one, two] = [await as(a, 'bob'), await as(b, 'one'), await as(a, 'two')];
      const refused = await ask(asker, { timeout_ms: 5_000 });
      expect(refused).toMatchObject({ error_code: 'NO_RESPONDERS', payload: { retryable: true, group: 'serve' } });
      expect((await asker.peer.command('history', SUMS)).error_code).toBe('NOT_FOUND');
      await one.join('serve', SUMS);
      await two.join('serve', SUMS);
      await expect.poll(async () => (await ask(asker, { timeout_ms: 5_000 })).type, PATIENT).toBe('ack');
      const question = await Promise.race([one.next(), two.next()]);
      const deadline = (question.metadata as JsonObject).request as { deadline: string };
      expect(Date.parse(deadline.deadline)).toBeGreaterThan(Date.now());
      const server = question.metadata.delivery.token;
      const answering = (await one.peer.command('delivery.ack', { tokens: [server] })).status === 'success' ? one : two;
      await send(answering, question.from, { payload: { sum: 2 }, request_id: question.id });
      expect(await asker.peer.message()).toMatchObject({
        type: 'private',
        request_id: question.id,
        payload: { sum: 2 },
      });
      expect((await ask(asker, { timeout_ms: 5_000, group: 'others' })).error_code).toBe('NO_RESPONDERS');
      one.drop();
      two.drop();
      await expect.poll(async () => (await ask(asker, { timeout_ms: 200 })).error_code, PATIENT).toBe('NO_RESPONDERS');
    });

    it('are not handed out past their deadline', async () => {
      const [a, b] = await cluster();
      const [asker, busy] = [await as(a, 'bob'), await as(b, 'busy')];
      await busy.join('serve', SUMS, 1);
      // The other node learns of the member a moment later.
      await expect.poll(async () => (await ask(asker, { timeout_ms: 60_000 })).type, PATIENT).toBe('ack');
      const first = await busy.next();
      const late = await ask(asker, { timeout_ms: 100 });
      const patient = await ask(asker, { timeout_ms: 60_000 });
      await expect.poll(() => Date.now(), PATIENT).toBeGreaterThan(Date.parse(late.timestamp) + 150);
      await busy.ack(first);
      expect((await busy.next()).id).toBe(patient.request_id);
      expect(await busy.ask('group.info', { ...SUMS, group: 'serve' })).toMatchObject({ expired: 1 });
    });

    it('P13.2 leave nothing behind when they are ephemeral', async () => {
      const [a, b] = await cluster();
      const [asker, one, reader] = [await as(a, 'bob'), await as(b, 'one'), await as(a, 'reader')];
      await reader.ask('join_channel', SUMS);
      await one.join('serve', SUMS);
      const asked = await ask(asker, { timeout_ms: 60_000 }, { ephemeral: true });
      expect(asked.payload).toMatchObject({ stored: 'none', delivered: 1, duplicate: false });
      const question = await one.next();
      expect(question).toMatchObject({ id: asked.request_id, ...SUMS, payload: { n: 1 } });
      expect(question.metadata).toMatchObject({
        request: { deadline: expect.any(String) },
        sender: { subject: 'bob' },
      });
      // There is no lease: whatever is said of it is well.
      expect(question.metadata).toMatchObject({ delivery: { group: 'serve', attempt: 1 } });
      expect(await one.ack(question)).toEqual({ done: [tokenOf(question)], lost: [] });
      await send(one, question.from, { payload: { sum: 2 }, request_id: question.id });
      expect(await asker.peer.message()).toMatchObject({ request_id: question.id });
      expect(await reader.peer.received('event')).toEqual([]);
      expect((await reader.ask('history', SUMS)).messages).toEqual([]);
      const none = await asker.peer.publish({
        room: 'math',
        channel: 'none',
        payload: {},
        options: { request: { timeout_ms: 1_000 }, ephemeral: true },
      });
      expect(none.error_code).toBe('NO_RESPONDERS');
    });

    it('P13.3 go to one connection of a subject, and to its mailbox', async () => {
      const [a, b] = await cluster();
      const [asker, one, two] = [await as(a, 'bob'), await as(a, 'ada'), await as(b, 'ada')];
      const options = { request: { timeout_ms: 60_000 } };
      const asked = await send(asker, 'sub:ada', { options });
      expect(asked.payload).toMatchObject({ delivered: 1 });
      await two.peer.ask('ping');
      await one.peer.ask('ping');
      const got = [one, two].flatMap(({ peer }) => peer.inbox.filter(({ type }) => type === 'private'));
      expect(got).toMatchObject([{ id: asked.request_id, metadata: { request: { deadline: expect.any(String) } } }]);
      await send(asker, '@ada', { options });
      await two.join('inbox', ADA);
      expect((await two.next()).metadata).toMatchObject({ request: { deadline: expect.any(String) } });
    });
  });
}
