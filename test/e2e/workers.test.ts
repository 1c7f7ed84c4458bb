import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArqonBusClient } from '@arqonbus/client';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../fixtures/free-port.ts';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { Watcher } from '../fixtures/watcher.ts';
import { BusProcess } from './faults/bus-process.ts';

const PROGRAM = fileURLToPath(new URL('../../packages/server/bin/arqon.js', import.meta.url));
const PATIENT = { timeout: 45_000 };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server of two workers, whose temporary files are in a directory of its own. */
async function startWorkers(settings: Readonly<Record<string, string>> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'arqon-workers-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  const sqlite = { ARQONBUS_SQLITE_PATH: join(directory, 'bus.db') };
  const bus = await BusProcess.start('node', { ...sqlite, ARQONBUS_WORKERS: '2', TMPDIR: directory, ...settings });
  cleanups.push(() => bus.stop());
  return { bus, directory };
}

function nodeOf(peer: Peer): string {
  return (peer.welcome.payload.server as { node: string }).node;
}

/** A client at each worker. New connections go to the workers in turn. */
async function peersOnBoth(bus: BusProcess): Promise<[Peer, Peer]> {
  const found = new Map<string, Peer>();
  for (let n = 0; n < 20 && found.size < 2; n += 1) {
    const peer = await Peer.connect(bus.url);
    cleanups.push(() => peer.ws.terminate());
    if (!found.has(nodeOf(peer))) found.set(nodeOf(peer), peer);
  }
  return [found.get('node-1') as Peer, found.get('node-2') as Peer];
}

/** Publishes without a pause and keeps what was acked; reads it all as a member, too. */
async function load(bus: BusProcess, publishers: number) {
  const address = 'science:explore';
  const acked = new Map<string, number>();
  const received: string[] = [];
  const clients: ArqonBusClient[] = [];
  const connect = async (): Promise<ArqonBusClient> => {
    const client = new ArqonBusClient({ url: bus.url, reconnect: { baseMs: 50, maxMs: 500 } });
    clients.push(client);
    cleanups.push(() => client.close());
    await client.connect({ retry: true, timeoutMs: 30_000 });
    return client;
  };
  const reader = await connect();
  const subscription = await reader.subscribe<{ key: string }>(address);
  void (async () => {
    for await (const { payload } of subscription) received.push(payload.key);
  })();
  let isOver = false;
  const publish = async (name: number): Promise<void> => {
    const client = await connect();
    for (let n = 0; !isOver; n += 1) {
      const key = `${name}-${n}`;
      const { sequence } = await client.publish(address, { key }, { timeoutMs: 30_000 });
      acked.set(key, sequence);
    }
  };
  const all = Promise.all(Array.from({ length: publishers }, (_, name) => publish(name)));
  // A test that failed before its end closes the clients.
  all.catch(() => {});
  return {
    acked,
    received,
    async stop() {
      isOver = true;
      await all;
      await expect.poll(() => received.length, PATIENT).toBeGreaterThanOrEqual(acked.size);
    },
  };
}

/** Nothing that was acked is missing or doubled, and every sequence was given once. */
function expectWhole({ acked, received }: { acked: Map<string, number>; received: string[] }): void {
  const once = new Set(received);
  expect(once.size).toBe(received.length);
  expect([...acked.keys()].filter((key) => !once.has(key))).toEqual([]);
  expect(new Set(acked.values()).size).toBe(acked.size);
}

describe.runIf(existsSync('/proc/self/task'))('a server of two workers', { timeout: 90_000 }, () => {
  it('is one bus: events, private messages, lists, figures and telemetry of both at any of them', async () => {
    const telemetry = await freePort();
    const { bus } = await startWorkers({
      ARQONBUS_STORAGE_BACKEND: 'memory',
      ARQONBUS_TELEMETRY_PORT: String(telemetry),
    });
    const watchers = await Promise.all([1, 2].map(() => Watcher.connect(`ws://127.0.0.1:${telemetry}`)));
    for (const { ws } of watchers) cleanups.push(() => ws.terminate());
    expect(new Set(watchers.map(({ greeting }) => greeting.payload.server.node)).size).toBe(2);
    const [one, other] = await peersOnBoth(bus);
    for (const peer of [one, other]) await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const ack = await from.publish({ room: 'science', channel: 'explore', payload: { from: from.id } });
      expect(ack.payload.stored).toBe('memory');
      expect((await to.message()).payload).toEqual({ from: from.id });
      from.send({ type: 'private', to: [to.id], payload: { hello: true } });
      expect((await to.message()).payload).toEqual({ hello: true });
    }
    const clients = await one.ask('list_channels', { room: 'science' });
    expect(clients.channels).toContainEqual(expect.objectContaining({ channel: 'explore', members: 2 }));
    for (let n = 0; n < 2; n += 1) {
      await expect
        .poll(async () => (await ask(`${bus.http}/status`)).json.connections.active, PATIENT)
        .toBeGreaterThanOrEqual(2);
      const { text } = await ask(`${bus.http}/metrics`);
      expect(text).toMatch(/^arqonbus_workers 2$/m);
      // The sum of both: what either has alone is one at the least.
      expect(Number(/^arqonbus_active_clients (\d+)$/m.exec(text)?.[1])).toBeGreaterThanOrEqual(2);
    }
    for (const watcher of watchers) {
      const nodes = [];
      for (const peer of [one, other]) {
        const connected = await watcher.next(({ payload }) => payload?.client_id === peer.id);
        nodes.push(connected.eventType);
      }
      expect(nodes).toEqual(['client_connected', 'client_connected']);
    }
  });

  it('loses nothing that was acked when a worker is killed under load, and starts it again', async () => {
    const { bus } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_STORAGE_MODE: 'strict' });
    const traffic = await load(bus, 2);
    const before = bus.workers;
    expect(before).toHaveLength(2);
    for (const pid of before) {
      const acked = traffic.acked.size;
      await expect.poll(() => traffic.acked.size, PATIENT).toBeGreaterThan(acked + 50);
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => bus.workers.filter((one) => one !== pid).length, PATIENT).toBe(2);
    }
    const again = traffic.acked.size;
    await expect.poll(() => traffic.acked.size, PATIENT).toBeGreaterThan(again + 50);
    await traffic.stop();
    expectWhole(traffic);
    expect(bus.printed).toContain('it is started again in 100 ms');
    expect(bus.workers.filter((pid) => before.includes(pid))).toEqual([]);
  });

  it('ends the connections that a worker was given and had not taken when it was killed', async () => {
    const { bus } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'memory' });
    const [frozen] = bus.workers as [number];
    process.kill(frozen, 'SIGSTOP');
    // New connections go to the workers in turn, and one waits for its answer at a time: of two, one is for the frozen.
    const sockets = [1, 2].map(() => connect(Number(new URL(bus.url).port), '127.0.0.1'));
    const ended = sockets.map((socket) => {
      cleanups.push(() => socket.destroy());
      socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n');
      socket.resume();
      return new Promise((resolve) => socket.once('close', () => resolve('ended')));
    });
    await Promise.race(ended);
    process.kill(frozen, 'SIGKILL');
    expect(await Promise.all(ended)).toEqual(['ended', 'ended']);
  });

  it('replaces its workers one by one when it is told to restart, and loses nothing', async () => {
    const { bus } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_DRAIN_SECONDS: '0.3' });
    const traffic = await load(bus, 2);
    const before = bus.workers;
    const answer = await ask(`${bus.http}/admin/restart`, { body: {} });
    expect(answer.status).toBeLessThan(300);
    await expect.poll(() => bus.workers.filter((pid) => !before.includes(pid)).length, { timeout: 60_000 }).toBe(2);
    const acked = traffic.acked.size;
    await expect.poll(() => traffic.acked.size, PATIENT).toBeGreaterThan(acked + 50);
    await traffic.stop();
    expectWhole(traffic);
  });

  it('stops its workers when it is told to, and leaves nothing behind', async () => {
    const { bus, directory } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'memory' });
    const [one, other] = await peersOnBoth(bus);
    const workers = bus.workers;
    expect((await readdir(directory)).filter((name) => name.startsWith('arqonbus-'))).toHaveLength(1);
    await bus.stop();
    expect(await Promise.all([one.closed, other.closed])).toEqual([1001, 1001]);
    for (const pid of workers) expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(await readdir(directory)).toEqual([]);
  });

  it('takes its workers with it when it is killed', async () => {
    const { bus } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'memory' });
    const workers = bus.workers;
    await bus.kill();
    await expect.poll(() => workers.filter((pid) => isAlive(pid)), PATIENT).toEqual([]);
  });

  it('says in one sentence why its workers cannot start', async () => {
    const { bus } = await startWorkers({ ARQONBUS_STORAGE_BACKEND: 'memory' });
    const port = new URL(bus.url).port;
    const env = { ...process.env, ARQONBUS_SERVER_PORT: port, ARQONBUS_HTTP_PORT: 'off', ARQONBUS_WORKERS: '2' };
    const child = spawn(process.execPath, [PROGRAM, 'serve', '--telemetry-port', 'off'], { env });
    cleanups.push(() => child.kill('SIGKILL'));
    let printed = '';
    child.stderr.on('data', (chunk) => {
      printed += String(chunk);
    });
    child.stdout.resume();
    const [code] = await once(child, 'exit');
    expect(code).toBe(1);
    expect(printed).toContain(`Port ${port} on 127.0.0.1 is in use`);
  });
});

describe.runIf(existsSync('/proc/self/task') && hasRedis())('two workers on a Redis', { timeout: 90_000 }, () => {
  it('are two nodes of its cluster', async () => {
    const redis = await PrivateRedis.start();
    cleanups.push(() => redis.stop());
    const { bus, directory } = await startWorkers({
      ARQONBUS_STORAGE_BACKEND: 'redis',
      ARQONBUS_REDIS_URL: redis.url(),
    });
    // No engine is served where each worker has its own connection.
    expect((await readdir(directory)).filter((name) => name.startsWith('arqonbus-'))).toEqual([]);
    const [one, other] = await peersOnBoth(bus);
    await other.ask('join_channel', { room: 'science', channel: 'explore' });
    await one.publish({ room: 'science', channel: 'explore', payload: { n: 1 } });
    expect((await other.message()).payload).toEqual({ n: 1 });
  });
});

describe('a server that drains over time', { timeout: 60_000 }, () => {
  it('answers 503 at its ports while it sends its clients away one after the other, and ends with 0', async () => {
    const bus = await BusProcess.start('node', { ARQONBUS_DRAIN_SECONDS: '3' });
    cleanups.push(() => bus.kill());
    const peers = await Promise.all(Array.from({ length: 6 }, () => Peer.connect(bus.url)));
    const closed: number[] = [];
    for (const peer of peers) void peer.closed.then(() => closed.push(performance.now()));
    const began = performance.now();
    const stopped = bus.stop();
    await expect.poll(async () => (await ask(`${bus.http}/ready`)).status).toBe(503);
    await expect(Peer.connect(bus.url)).rejects.toMatchObject({ status: 503 });
    await stopped;
    expect(await Promise.all(peers.map((peer) => peer.closed))).toEqual(peers.map(() => 1001));
    expect((closed.at(-1) as number) - began).toBeGreaterThan(2_500);
    expect((closed.at(-1) as number) - (closed[0] as number)).toBeGreaterThan(1_000);
  });
});

/** Whether a process runs; one that has ended and that nobody asked for its end does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
