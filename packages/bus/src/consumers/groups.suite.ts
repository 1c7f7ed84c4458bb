import { describe, expect, it } from 'vitest';
import type { Engine } from '../engine/engine.ts';
import { type Delivered, Node, type NodeOptions, numberOf, PLACE, range, tokenOf, Worker } from './rig.suite.ts';

/** One fresh backend for one test, and nodes on it. */
export interface Backend {
  engine(nodeId: string): Engine;
}

const PATIENT = { timeout: 30_000, interval: 50 };
const FAST = { ack_wait_seconds: 1.5, backoff_seconds: [0.05], max_attempts: 100 };

/** Groups, over the wire, as every engine must have them. `nodes`: how many share the backend. */
export function groupsSuite(name: string, open: () => Promise<Backend>, nodes: 1 | 2): void {
  /** Nodes by their number; tests that need two get one twice where there is one. */
  async function cluster(options: NodeOptions = {}): Promise<[Node, Node]> {
    const backend = await open();
    const one = await Node.open(backend.engine('node-a'), { node: 'node-a', ...options });
    if (nodes === 1) return [one, one];
    return [one, await Node.open(backend.engine('node-b'), { node: 'node-b', ...options })];
  }

  async function info(worker: Worker, group = 'g', place: object = PLACE) {
    return worker.ask('group.info', { ...place, group });
  }

  describe(`groups on ${name}`, { timeout: 60_000 }, () => {
    it('handle each of 300 events, with a worker that is killed and one that is frozen', async () => {
      const [a, b] = await cluster();
      const workers = [await Worker.connect(a), await Worker.connect(b), await Worker.connect(b)];
      const [steady, killed, frozen] = workers as [Worker, Worker, Worker];
      // As many attempts as usual: the frozen one must not use them up.
      await steady.ask('group.create', { ...PLACE, group: 'g', ...FAST, max_attempts: 5 });
      for (const worker of workers) await worker.join('g', PLACE, 8);
      const handled = new Map<unknown, number>();
      const note = (event: Delivered): void => {
        handled.set(numberOf(event), (handled.get(numberOf(event)) ?? 0) + 1);
      };
      // Both have taken something before the rest of the work comes.
      await a.publish(range(1, 30));
      const [stale] = (await Promise.all([frozen.next(), killed.next()])) as [Delivered, Delivered];
      killed.drop();
      steady.work(note);
      await b.publish(range(31, 300));
      await expect.poll(() => handled.size, PATIENT).toBe(300);
      expect(await frozen.refused('delivery.ack', { tokens: [tokenOf(stale)] })).toMatchObject({
        code: 'LEASE_LOST',
        lost: [tokenOf(stale)],
      });
      await expect.poll(() => info(steady), PATIENT).toMatchObject({ pending: 0, unacked: 0, lost: 0, rejected: 0 });
      const { position, handled: count } = await info(steady);
      expect([position, count]).toMatchObject([{ sequence: 300 }, 300]);
      expect([...handled.values()].every((times) => times === 1)).toBe(true);
      expect([...a.faults, ...b.faults]).toEqual([]);
    });

    it('P10.2 begin with what comes from now on, tell what a delivery is, and leave ordinary members alone', async () => {
      const [a, b] = await cluster();
      const [worker, reader] = [await Worker.connect(a), await Worker.connect(b)];
      await reader.ask('join_channel', PLACE);
      await a.publish([1]);
      const joined = await worker.join('g');
      expect(joined).toMatchObject({ ...PLACE, group: 'g', sequence: 1, members: 1 });
      await b.publish([2]);
      const event = await worker.next();
      expect(event).toMatchObject({ type: 'event', ...PLACE, payload: { n: 2 } });
      const { delivery, sequence } = event.metadata as Delivered['metadata'] & { sequence: number };
      expect([sequence, delivery.group, delivery.attempt]).toEqual([2, 'g', 1]);
      expect(Date.parse(delivery.deadline)).toBeGreaterThan(Date.now() + 20_000);
      expect(await worker.ack(event)).toEqual({ done: [delivery.token], lost: [] });
      const plain = [await reader.peer.message(), await reader.peer.message()];
      expect(plain.map(({ payload }) => payload.n)).toEqual([1, 2]);
      expect(plain.every(({ metadata }) => metadata?.delivery === undefined)).toBe(true);
      expect(await worker.ask('leave_channel', { ...PLACE, group: 'g' })).toEqual({ left: true });
      expect(await worker.ask('leave_channel', { ...PLACE, group: 'g' })).toEqual({ left: false });
    });

    it('P10.4 hand an event out again after the delay of a nack, after a dropped line at once, and count attempts', async () => {
      const [a, b] = await cluster();
      const [one, other] = [await Worker.connect(a), await Worker.connect(b)];
      await one.ask('group.create', { ...PLACE, group: 'g', backoff_seconds: [60] });
      await one.join('g');
      await a.publish([1]);
      const first = await one.next();
      await one.ask('delivery.nack', { tokens: [tokenOf(first)], delay_seconds: 0.05 });
      const second = await one.next();
      expect(second.metadata.delivery.attempt).toBe(2);
      expect((await one.refused('delivery.ack', { tokens: [tokenOf(first)] })).code).toBe('LEASE_LOST');
      await other.join('g');
      one.drop();
      const third = await other.next();
      expect([numberOf(third), third.metadata.delivery.attempt]).toEqual([1, 3]);
      await other.ack(third);
      expect(await info(other)).toMatchObject({ handled: 1, unacked: 0, pending: 0, members: 1 });
    });

    it('keep the lease of a member that extends it, and take it from one that does not', async () => {
      const [a] = await cluster();
      const worker = await Worker.connect(a);
      await worker.ask('group.create', { ...PLACE, group: 'g', ack_wait_seconds: 1, backoff_seconds: [0] });
      await worker.join('g', PLACE, 2);
      await a.publish([1, 2]);
      const [kept, left] = (await worker.take(2)) as [Delivered, Delivered];
      let again: Delivered | undefined;
      void worker.next().then((event) => {
        again = event;
      });
      const until = Date.now() + 15_000;
      while (again === undefined && Date.now() < until) {
        const { lost } = await worker.ask('delivery.extend', { tokens: [tokenOf(kept)] });
        expect(lost).toEqual([]);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      expect([numberOf(again!), again!.metadata.delivery.attempt]).toEqual([numberOf(left), 2]);
      expect(await worker.ask('delivery.ack', { tokens: [tokenOf(left), tokenOf(kept)] })).toEqual({
        done: [tokenOf(kept)],
        lost: [tokenOf(left)],
      });
    });

    it('make dead letters of what was rejected or had its attempts, publish, list and retry them', async () => {
      const [a, b] = await cluster();
      const [worker, reader] = [await Worker.connect(a), await Worker.connect(b)];
      await worker.ask('group.create', { ...PLACE, group: 'g', max_attempts: 2, backoff_seconds: [0] });
      await reader.ask('join_channel', { room: 'work', channel: 'jobs.dead' });
      await worker.join('g', PLACE, 1);
      const sequence = (await b.publish(['bad']))[0]?.sequence;
      const rejected = await worker.next();
      await worker.ask('delivery.reject', { tokens: [tokenOf(rejected)], reason: 'no such order' });
      const dead = {
        group: 'g',
        reason: 'no such order',
        attempts: 1,
        room: 'work',
        channel: 'jobs',
        sequence,
      };
      expect(await reader.peer.message()).toMatchObject({
        channel: 'jobs.dead',
        payload: { n: 'bad' },
        metadata: { dead },
      });
      await b.publish(['worse']);
      for (const attempt of [1, 2]) {
        const event = await worker.next();
        expect([numberOf(event), event.metadata.delivery.attempt]).toEqual(['worse', attempt]);
        await worker.ask('delivery.nack', { tokens: [tokenOf(event)], reason: 'broken' });
      }
      expect((await reader.peer.message()).metadata).toMatchObject({ dead: { reason: 'broken', attempts: 2 } });
      await expect.poll(() => info(worker), PATIENT).toMatchObject({ dead_letters: 2, rejected: 2, pending: 0 });
      const place = { ...PLACE, group: 'g' };
      const page = await worker.ask('group.dead_letters', { ...place, limit: 1 });
      expect(page).toMatchObject({ messages: [{ id: rejected.id, payload: { n: 'bad' }, metadata: { dead } }] });
      const rest = await reader.ask('group.dead_letters', { ...place, after: page.next });
      expect(rest).toMatchObject({ messages: [{ payload: { n: 'worse' } }], next: null });
      expect(await reader.ask('group.retry', { ...place, ids: [rejected.id] })).toEqual({ retried: 1 });
      const again = await worker.next();
      expect([numberOf(again), again.metadata.delivery.attempt]).toEqual(['bad', 1]);
      await worker.ack(again);
      expect(await worker.ask('group.retry', place)).toEqual({ retried: 1 });
      const last = await worker.next();
      await worker.ask('delivery.reject', { tokens: [tokenOf(last)], reason: 'still' });
      expect((await reader.peer.message()).metadata).toMatchObject({ dead: { reason: 'still' } });
      await expect
        .poll(() => worker.ask('group.dead_letters', place), PATIENT)
        .toMatchObject({ messages: [{ payload: { n: 'worse' }, metadata: { dead: { reason: 'still' } } }] });
    });

    it('give events to whoever pulls, at once or when they come', async () => {
      const [a, b] = await cluster();
      const worker = await Worker.connect(b);
      const place = { ...PLACE, group: 'g' };
      await worker.ask('group.create', place);
      expect(await worker.ask('group.pull', place)).toEqual({ messages: [], pending: 0 });
      await a.publish(range(1, 5));
      const pulled = await worker.ask('group.pull', { ...place, limit: 3 });
      const messages = pulled.messages as Delivered[];
      expect([messages.map(numberOf), pulled.pending]).toEqual([[1, 2, 3], 2]);
      expect(await worker.ack(...messages)).toMatchObject({ lost: [] });
      await worker.ask('group.pull', { ...place, limit: 3 });
      const waiting = worker.peer.command('group.pull', { ...place, wait_ms: 50_000 });
      await a.publish([6]);
      expect((await waiting).payload).toMatchObject({ messages: [{ payload: { n: 6 } }], pending: 0 });
      expect(await worker.ask('group.pull', { ...place, wait_ms: 50 })).toMatchObject({ messages: [] });
    });

    it('P10.7 begin where they are told, and go on where they are sent', async () => {
      const [a, b] = await cluster();
      const worker = await Worker.connect(b);
      const published = await a.publish(range(1, 6));
      const { epoch } = published[0]!;
      const first = async (group: string): Promise<unknown> => {
        const { messages } = await worker.ask('group.pull', { ...PLACE, group, limit: 1 });
        return (messages as Delivered[]).map(numberOf);
      };
      await worker.ask('group.create', { ...PLACE, group: 'all', start: 'all' });
      expect(await first('all')).toEqual([1]);
      await worker.ask('group.create', { ...PLACE, group: 'third', start: { sequence: 2, epoch } });
      expect(await first('third')).toEqual([3]);
      expect(
        await worker.refused('group.create', { ...PLACE, group: 'x', start: { sequence: 2, epoch: 'other' } }),
      ).toMatchObject({ code: 'CONFLICT', epoch });
      await worker.ask('group.create', { ...PLACE, group: 'time', start: { time: new Date(0).toISOString() } });
      expect(await first('time')).toEqual([1]);
      await worker.ask('group.seek', { ...PLACE, group: 'third', sequence: 5 });
      expect(await info(worker, 'third')).toMatchObject({ position: { sequence: 5, epoch }, unacked: 0, pending: 1 });
      expect(await first('third')).toEqual([6]);
      await worker.ask('group.seek', { ...PLACE, group: 'third', time: new Date(0).toISOString() });
      expect(await first('third')).toEqual([1]);
    });

    it('hand out nothing while they are paused, and end when they are deleted', async () => {
      const [a, b] = await cluster();
      const [worker, other] = [await Worker.connect(a), await Worker.connect(b)];
      const place = { ...PLACE, group: 'g' };
      await worker.join('g');
      expect(await worker.ask('group.pause', place)).toEqual({ paused: true });
      await expect.poll(() => info(other), PATIENT).toMatchObject({ paused: true });
      await b.publish([1]);
      await expect.poll(() => info(other), PATIENT).toMatchObject({ pending: 1, unacked: 0 });
      expect(await worker.ask('group.resume', place)).toEqual({ paused: false });
      const event = await worker.next();
      expect(numberOf(event)).toBe(1);
      expect((await worker.ask('group.list', { room: 'work' })).groups).toMatchObject([
        { group: 'g', channel: 'jobs' },
      ]);
      await worker.ask('group.delete', place);
      expect(await worker.peer.next(({ payload }) => payload.event === 'membership_revoked')).toMatchObject({
        payload: { ...PLACE, group: 'g', reason: 'deleted' },
      });
      await expect.poll(async () => (await other.ask('group.list', {})).groups, PATIENT).toEqual([]);
      expect((await worker.refused('delivery.ack', { tokens: [tokenOf(event)] })).code).toBe('LEASE_LOST');
      expect((await worker.refused('group.info', place)).code).toBe('NOT_FOUND');
      // One of the same name knows nothing of it.
      await worker.join('g');
      expect(await info(worker)).toMatchObject({ handled: 0, pending: 0, unacked: 0 });
    });

    it('P10.1 read all channels of a room, or those of a pattern, and those that come later from their start', async () => {
      const [a, b] = await cluster();
      const [room, pattern] = [await Worker.connect(a), await Worker.connect(b)];
      await a.publish([0], { room: 'work', channel: 'old' });
      await room.join('g', { room: 'work' });
      await pattern.join('g', { room: 'work', channel: 'orders.*' });
      const sent = ['orders.new', 'orders.eu.new', 'mail', 'orders.new', 'old'];
      for (const channel of sent) await b.publish([channel], { room: 'work', channel });
      await b.publish(['*'], { room: 'work' });
      const all = await room.take(6);
      expect(all.map(numberOf).sort()).toEqual([...sent, '*'].sort());
      const some = await pattern.take(2);
      expect(some.map(numberOf)).toEqual(['orders.new', 'orders.new']);
      await room.ack(...all);
      const { positions } = await info(room, 'g', { room: 'work' });
      expect(positions).toMatchObject({ 'orders.new': { sequence: 2 }, mail: { sequence: 1 }, old: { sequence: 2 } });
    });

    it('do not hand their own dead letters out again', async () => {
      const [a] = await cluster();
      const worker = await Worker.connect(a);
      await worker.join('g', { room: 'work' });
      await a.publish(['bad']);
      const event = await worker.next();
      await worker.ask('delivery.reject', { tokens: [tokenOf(event)], reason: 'bad' });
      await a.publish(['good']);
      expect(numberOf(await worker.next())).toBe('good');
      await expect.poll(() => info(worker, 'g', { room: 'work' }), PATIENT).toMatchObject({ pending: 0, unacked: 1 });
      expect((await worker.peer.received('event')).length).toBe(0);
    });

    it('P10.6 keep the order of each key, with one member, through retries', async () => {
      const [a, b] = await cluster();
      const workers = [await Worker.connect(a), await Worker.connect(b), await Worker.connect(b)];
      const settings = { key: 'payload.customer', backoff_seconds: [0.01], max_attempts: 20 };
      await workers[0]!.ask('group.create', { ...PLACE, group: 'g', ...settings });
      for (const worker of workers) await worker.join('g', PLACE, 10);
      await expect.poll(() => info(workers[0]!), PATIENT).toMatchObject({ members: 3 });
      const done = new Map<string, number[]>();
      const owners = new Map<string, Set<number>>();
      let count = 0;
      for (const [index, worker] of workers.entries()) {
        const loop = async (): Promise<void> => {
          for (;;) {
            const event = await worker.next();
            const { customer, n } = event.payload as { customer: string; n: number };
            owners.set(customer, (owners.get(customer) ?? new Set()).add(index));
            if (event.metadata.delivery.attempt === 1 && n % 4 === 0) {
              await worker.ask('delivery.nack', { tokens: [tokenOf(event)] });
              continue;
            }
            done.set(customer, [...(done.get(customer) ?? []), n]);
            await worker.ack(event);
            count += 1;
          }
        };
        loop().catch(() => {});
      }
      const customers = range(1, 12).map((number) => `customer-${number}`);
      for (const n of range(1, 10)) {
        for (const customer of customers) await a.bus.publish('work:jobs', { n, customer });
      }
      await expect.poll(() => count, PATIENT).toBe(120);
      for (const customer of customers) {
        expect([customer, done.get(customer), owners.get(customer)?.size]).toEqual([customer, range(1, 10), 1]);
      }
      expect(new Set([...owners.values()].flatMap((set) => [...set])).size).toBeGreaterThan(1);
    });

    it('P10.5 give members no more than their prefetch, and a group no more than max_unacked', async () => {
      const [a, b] = await cluster();
      const [one, other] = [await Worker.connect(a), await Worker.connect(b)];
      await one.ask('group.create', { ...PLACE, group: 'g', max_unacked: 5 });
      await one.join('g', PLACE, 2);
      await a.publish(range(1, 20));
      const held = await one.take(2);
      expect(await info(one)).toMatchObject({ unacked: 2, pending: 18 });
      await other.join('g', PLACE, 100);
      const rest = await other.take(3);
      expect(await info(one)).toMatchObject({ unacked: 5, pending: 15 });
      expect((await other.peer.received('event')).length).toBe(0);
      await one.ack(held[0]!);
      await Promise.race([one.next(), other.next()]);
      await other.ack(...rest);
      await expect.poll(() => info(one), PATIENT).toMatchObject({ unacked: 5, handled: 4 });
    });

    it('P10.8 tell what history dropped before they had read it', async () => {
      const [a, b] = await cluster({ retention: { size: 5, ttlMs: 86_400_000 } });
      const [worker, readers] = [await Worker.connect(b), [await Worker.connect(a), await Worker.connect(b)]];
      await worker.ask('group.create', { ...PLACE, group: 'g' });
      for (const reader of readers) await reader.ask('join_channel', PLACE);
      await a.publish(range(1, 12));
      // What comes by while somebody takes it is not lost, whatever history keeps.
      for (const { peer } of readers) await peer.next(({ payload }) => payload.n === 12);
      await worker.join('g', PLACE, 100);
      const notice = await worker.peer.next(({ payload }) => payload.event === 'group_lost');
      expect(notice.payload).toEqual({ event: 'group_lost', ...PLACE, group: 'g', lost: 7 });
      expect((await worker.take(5)).map(numberOf)).toEqual(range(8, 12));
      expect(await info(worker)).toMatchObject({ lost: 7, unacked: 5, pending: 0 });
    });

    it('answer the same settings again, and refuse others by name', async () => {
      const [a, b] = await cluster();
      const [one, other] = [await Worker.connect(a), await Worker.connect(b)];
      const made = await one.ask('group.create', { ...PLACE, group: 'g', max_attempts: 3 });
      expect(made).toMatchObject({ ...PLACE, group: 'g', max_attempts: 3, ack_wait_seconds: 30, paused: false });
      await expect.poll(async () => (await other.ask('group.list', {})).groups, PATIENT).toHaveLength(1);
      expect(await other.ask('group.create', { ...PLACE, group: 'g', max_attempts: 3 })).toEqual(made);
      expect(await other.refused('group.create', { ...PLACE, group: 'g', max_attempts: 4 })).toMatchObject({
        code: 'CONFLICT',
        field: 'max_attempts',
      });
    });
  });
}
