import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Peer } from '../../../test/fixtures/peer.ts';
import { type Delivered, Node, numberOf, onEnd, PLACE, Worker } from './consumers/rig.suite.ts';
import { hostEngine } from './engine/local/host.ts';
import { createLocalEngine } from './engine/local/local.ts';
import { createMemoryEngine } from './engine/memory/memory.ts';

describe('a bus that retires', () => {
  it('sends its clients away in even slices, serves the rest meanwhile, and takes no new ones', async () => {
    const node = await Node.open(createMemoryEngine());
    const peers = await Promise.all(Array.from({ length: 30 }, () => Peer.connect(node.url)));
    const last: number[] = [];
    for (const peer of peers) void peer.closed.then(() => last.push(performance.now()));
    const codes = Promise.all(peers.map(({ closed }) => closed));
    const began = performance.now();
    const retired = node.bus.retire(3_000);
    await expect(Peer.connect(node.url)).rejects.toMatchObject({ status: 503 });
    await expect.poll(() => last.length).toBeGreaterThanOrEqual(10);
    // Somewhere between the first slice and the last one.
    const staying = peers.filter(({ ws }) => ws.readyState === ws.OPEN);
    if (staying.length > 0) {
      const answers = staying.map((peer) => Promise.race([peer.ask('ping'), peer.closed]));
      await Promise.all(answers);
    }
    await retired;
    expect(await codes).toEqual(peers.map(() => 1001));
    // Even: the machine may be late, but nobody goes before their slice.
    const times = last.map((at) => at - began);
    for (const [index, at] of times.entries()) expect(at).toBeGreaterThan((index / 30) * 3_000 - 150);
    const notices = await Promise.all(peers.map((peer) => peer.next(({ payload }) => payload.event === 'shutdown')));
    for (const { payload } of notices) expect(payload.reconnect_after_ms).toBeLessThan(3_200);
  });

  it('spreads the clients of a slice that is late over as much time as it is late', async () => {
    const node = await Node.open(createMemoryEngine());
    const peers = await Promise.all(Array.from({ length: 30 }, () => Peer.connect(node.url)));
    const notices = Promise.all(peers.map((peer) => peer.next(({ payload }) => payload.event === 'shutdown')));
    const retired = node.bus.retire(1_000);
    await Promise.race(peers.map(({ closed }) => closed));
    // The process stands still, and more than half of the clients are due when it goes on.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
    await retired;
    const waits = (await notices).map(({ payload }) => Number(payload.reconnect_after_ms));
    expect(Math.max(...waits)).toBeGreaterThan(300);
  });

  it('answers what a client sent before it goes', async () => {
    const node = await Node.open(createMemoryEngine());
    const peer = await Peer.connect(node.url);
    const retired = node.bus.retire(200);
    const ack = await peer.publish({ room: 'science', channel: 'general', payload: { n: 1 } });
    expect(ack.type).toBe('ack');
    await retired;
    expect(await peer.closed).toBe(1001);
  });

  it('lets the other node drive its groups first, while its own members work on', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-retire-'));
    onEnd(() => rm(directory, { recursive: true }));
    const host = await hostEngine(createMemoryEngine(), { directory });
    onEnd(() => host.close());
    const open = (node: string): Promise<Node> =>
      Node.open(createLocalEngine({ path: host.path, backend: 'memory', nodeId: node }), { node });
    const [a, b] = [await open('node-a'), await open('node-b')];
    const maker = await Worker.connect(a);
    await maker.ask('group.create', { ...PLACE, group: 'g' });
    await maker.join('g');
    await a.publish([1]);
    await maker.ack((await maker.next()) as Delivered);
    const leases = { tenant: 'default', space: 'group_driver', namespace: '' };
    const driver = async (): Promise<unknown> => {
      const held = await b.bus.engine.store.list(leases, { limit: 10 });
      return held.map(({ value }) => JSON.parse(value) as unknown);
    };
    expect(await driver()).toEqual(['node-a']);
    const retired = a.bus.retire(60_000);
    await expect.poll(driver).toEqual(['node-b']);
    await b.publish([2]);
    const event = (await maker.next()) as Delivered;
    expect(numberOf(event)).toBe(2);
    expect(await maker.ack(event)).toMatchObject({ lost: [] });
    maker.drop();
    await retired;
  });
});

describe('a bus that closes', () => {
  it('tells whoever comes meanwhile to come again, until its storage is closed', async () => {
    const engine = createMemoryEngine();
    const close = engine.close.bind(engine);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const closing = new Promise<void>((resolve) => {
      engine.close = () => {
        resolve();
        return held.then(close);
      };
    });
    const node = await Node.open(engine);
    const closed = node.bus.close({ withinMs: 60_000 });
    const refusal = { status: 503, headers: { 'retry-after': '1' } };
    await expect(Peer.connect(node.url)).rejects.toMatchObject(refusal);
    await closing;
    await expect(Peer.connect(node.url)).rejects.toMatchObject(refusal);
    release();
    await closed;
  });
});
