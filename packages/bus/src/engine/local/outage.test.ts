import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine, KeyChange } from '../engine.ts';
import { createMemoryEngine } from '../memory/memory.ts';
import { publication, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { type EngineHost, type EngineHostOptions, hostEngine } from './host.ts';
import { createLocalEngine, type LocalEngineOptions } from './local.ts';

const LAB = stream('general');
const AT = { tenant: 'default', space: 'store', namespace: 'default' };
const entry = { tenant: 'default', clientId: 'arq_client_one', subject: null, node: 'a', channels: {}, record: '{}' };

let directory: string;
let closing: (() => unknown)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-local-'));
});
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
  await rm(directory, { recursive: true });
});

async function startHost(options: EngineHostOptions = {}): Promise<EngineHost> {
  const host = await hostEngine(createMemoryEngine(), { directory, ...options });
  closing.push(() => host.close());
  return host;
}

/** A worker, opened. */
async function startWorker(path: string, nodeId: string, options: Partial<LocalEngineOptions> = {}) {
  const engine = createLocalEngine({ path, backend: 'memory', nodeId, ...options });
  closing.push(() => engine.close());
  const seen = new Recorder();
  const gaps: string[] = [];
  const events = Object.assign(seen, {
    gap: (_tenant: string, room: string) => {
      gaps.push(room);
      seen.touch();
    },
  });
  await engine.open(events);
  return { engine, seen, gaps };
}

/** A socket in front of the host's, whose connections can be cut, or not be read on the worker's side. */
class Wire {
  readonly path: string;
  private readonly server: Server;
  private sockets: [Socket, Socket][] = [];
  private isCut = false;

  private constructor(path: string, target: string) {
    this.path = path;
    this.server = createServer((worker) => {
      if (this.isCut) return void worker.destroy();
      const host = createConnection({ path: target });
      this.sockets.push([worker, host]);
      worker.on('error', () => {}).on('close', () => host.destroy());
      host.on('error', () => {}).on('close', () => worker.destroy());
      worker.pipe(host);
      host.pipe(worker);
    });
  }

  static async open(target: string): Promise<Wire> {
    const wire = new Wire(join(directory, 'wire.sock'), target);
    await new Promise<void>((resolve) => wire.server.listen(wire.path, resolve));
    closing.push(() => {
      wire.cut();
      return new Promise((resolve) => wire.server.close(resolve));
    });
    return wire;
  }

  cut(): void {
    this.isCut = true;
    for (const pair of this.sockets.splice(0)) for (const socket of pair) socket.destroy();
  }

  mend(): void {
    this.isCut = false;
  }

  /** The worker's side takes nothing of what the host sends, until the answer is called. */
  stall(): () => void {
    for (const [worker, host] of this.sockets) host.unpipe(worker).pause();
    return () => {
      for (const [worker, host] of this.sockets) host.pipe(worker);
    };
  }
}

function health(seen: Recorder, healthy: boolean): Promise<void> {
  return seen.until(() => seen.healthStates.at(-1)?.healthy === healthy);
}

describe('a worker whose connection breaks', () => {
  it('refuses what needs the host, tells of it, and goes on where it was, with its rooms told as gaps', async () => {
    const host = await startHost();
    const wire = await Wire.open(host.path);
    const worker = await startWorker(wire.path, 'a');
    const other = await startWorker(host.path, 'b');
    const changes: KeyChange[] = [];
    worker.engine.store.watch('store', (change) => {
      changes.push(change);
      worker.seen.touch();
    });
    await worker.engine.broker.attach('default', 'science');
    await worker.engine.presence?.announce(entry);
    await publishMany(worker.engine, LAB, 2);

    wire.cut();
    await expect(worker.engine.broker.publish(publication(LAB))).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
    });
    await health(worker.seen, false);
    expect(worker.engine.healthy()).toBe(false);
    expect(await worker.engine.stats()).toMatchObject({ connected: false });
    await expect.poll(async () => other.engine.presence?.list('default')).toEqual([]);
    // What it misses meanwhile: an event, and a change of a key.
    await publishMany(other.engine, LAB, 1);
    await other.engine.store.set(AT, 'k', '1');

    wire.mend();
    await health(worker.seen, true);
    await worker.seen.until(() => changes.length > 0);
    expect(changes).toMatchObject([{ key: 'k', value: '1', operation: 'set' }]);
    expect(worker.gaps).toEqual(['science']);
    expect(worker.engine.healthy()).toBe(true);
    await publishMany(other.engine, LAB, 1);
    await worker.seen.until(() => worker.seen.of(LAB).at(-1)?.sequence === 4);
    expect(worker.seen.of(LAB).map(({ sequence }) => sequence)).toEqual([1, 2, 4]);
    const missed = await worker.engine.broker.history(LAB, { fromSequence: 3, limit: 1 });
    expect(missed.map(({ sequence }) => sequence)).toEqual([3]);
    await expect.poll(async () => other.engine.presence?.list('default')).toEqual([entry]);
  });

  it('goes on live from its own memory in degraded mode', async () => {
    const host = await startHost();
    const strict = createLocalEngine({ path: host.path, backend: 'memory', nodeId: 'a' });
    const engine = degraded(strict);
    closing.push(() => engine.close());
    const seen = new Recorder();
    await engine.open(seen);
    await engine.broker.attach('default', 'science');
    await host.close();
    const published = await engine.broker.publish(publication(LAB));
    expect(published).toMatchObject({ stored: 'none', sequence: 0 });
    expect(seen.of(LAB)).toHaveLength(1);
  });

  it('starts without its host in degraded mode, and finds it when it is there', async () => {
    const host = await startHost();
    const wire = await Wire.open(host.path);
    wire.cut();
    const engine = createLocalEngine({ path: wire.path, backend: 'memory', nodeId: 'a' });
    closing.push(() => engine.close());
    const seen = new Recorder();
    await expect(engine.open(seen)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    wire.mend();
    await health(seen, true);
    expect(await engine.broker.publish(publication(LAB))).toMatchObject({ sequence: 1 });
  });

  it('says so when the host has forgotten changes that it missed', async () => {
    const host = await startHost({ maxChanges: 4 });
    const wire = await Wire.open(host.path);
    let stale = 0;
    const worker = await startWorker(wire.path, 'a', { onStale: () => (stale += 1) });
    const other = await startWorker(host.path, 'b');
    worker.engine.store.watch('store', () => {});
    await worker.engine.store.tenants('store');
    wire.cut();
    await health(worker.seen, false);
    for (const n of range(1, 3)) await other.engine.store.set(AT, `k${n}`, '1');
    wire.mend();
    await health(worker.seen, true);
    expect(stale).toBe(0);
    wire.cut();
    await health(worker.seen, false);
    for (const n of range(1, 9)) await other.engine.store.set(AT, `k${n}`, '2');
    wire.mend();
    await health(worker.seen, true);
    expect(stale).toBe(1);
  });
});

describe('the bounds of the socket', () => {
  it('cut a worker that does not read, which comes back for what it missed', async () => {
    const host = await startHost({ maxBacklogBytes: 2_000_000 });
    const wire = await Wire.open(host.path);
    const worker = await startWorker(wire.path, 'a');
    const other = await startWorker(host.path, 'b');
    await worker.engine.broker.attach('default', 'science');
    await worker.engine.presence?.announce(entry);
    const flow = wire.stall();
    const body = 'x'.repeat(100_000);
    let sent = 0;
    // As long as the host has the worker in its books.
    while ((await other.engine.presence?.find('default', entry.clientId))?.length === 1 && sent < 500) {
      await publishMany(other.engine, LAB, 1, () => ({ payload: { body } }));
      sent += 1;
    }
    expect(sent).toBeGreaterThan(10);
    expect(sent).toBeLessThan(500);
    flow();
    await health(worker.seen, false);
    await health(worker.seen, true);
    expect(worker.gaps).toContain('science');
    const { sequence } = await worker.engine.broker.state(LAB);
    expect(sequence).toBe(sent);
  });

  it('refuse a worker’s publications that the host does not take', async () => {
    const deaf = join(directory, 'deaf.sock');
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket.pause().on('error', () => {}));
      // A host's greeting, so that the worker believes itself connected.
      const welcome = JSON.stringify({
        ...{ backend: 'memory', healthy: true, reason: '', warnings: [], run: 'r', change: 0 },
        ...{ isWhole: true, missed: [] },
      });
      const frame = Buffer.alloc(13 + welcome.length);
      frame.writeUInt32LE(9 + welcome.length, 0);
      frame.writeUInt32LE(welcome.length * 2, 9);
      frame.write(welcome, 13);
      socket.write(frame);
    });
    await new Promise<void>((resolve) => server.listen(deaf, resolve));
    const { engine, seen } = await startWorker(deaf, 'a', { maxBacklogBytes: 1_000_000 });
    closing.push(async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      await health(seen, false);
    });
    const body = 'x'.repeat(300_000);
    const publish = async (): Promise<void> => {
      for (let n = 0; n < 1_000; n += 1) {
        void Promise.resolve(engine.broker.publish(publication(LAB, { payload: { body } }))).catch(() => {});
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await expect(publish()).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      message: expect.stringContaining('send it again'),
    });
  });

  it('let only this user in, and leave nothing behind', async () => {
    const host = await startHost();
    const folder = dirname(host.path);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await host.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it.each([
    ['a frame longer than any may be', Buffer.from([0xff, 0xff, 0xff, 0xff, 0])],
    ['a frame shorter than its contents', Buffer.from([6, 0, 0, 0, 1, 1, 0, 0, 0, 99])],
    ['a frame of no known type', Buffer.from([5, 0, 0, 0, 99, 0, 0, 0, 0])],
    ['a text that is no JSON', Buffer.from([10, 0, 0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0, 0x7b])],
  ])('cut a connection that sends %s, and serve the others', async (_name, bytes) => {
    const host = await startHost();
    const stranger = createConnection({ path: host.path });
    const closed = new Promise((resolve) => stranger.once('close', resolve));
    stranger.on('error', () => {}).resume();
    stranger.write(bytes);
    await closed;
    const { engine } = await startWorker(host.path, 'a');
    expect(await engine.broker.publish(publication(LAB))).toMatchObject({ sequence: 1 });
  });

  it('serve no engine that serves several nodes by itself', async () => {
    const { engine } = await startWorker((await startHost()).path, 'a');
    await expect(hostEngine(engine as Engine, { directory })).rejects.toThrow('workers open it themselves');
  });
});
