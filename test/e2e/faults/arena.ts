import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PrivatePostgres } from '../../fixtures/private-postgres.ts';
import { PrivateRedis } from '../../fixtures/private-redis.ts';
import { TcpProxy } from '../../fixtures/tcp-proxy.ts';
import { BusProcess } from './bus-process.ts';
import { readPostgres, readRedis, readSqlite, type StoredStream } from './stored.ts';

export const ENGINES = ['sqlite', 'local', 'local-memory', 'redis', 'postgres'] as const;
/** `local`: two workers with SQLite or memory, opened by their supervisor. */
export type Engine = (typeof ENGINES)[number];
export type Mode = 'degraded' | 'strict';

/** More than a storm publishes: events removed by retention would look like lost ones. */
const HISTORY_SIZE = 1_000_000;
/** Short, so that a connection that is silent in one direction is detected before the storm ends. */
const PING_SECONDS = 2;

/** A network link that can be broken. */
export interface Stretch {
  readonly name: string;
  readonly proxy: TcpProxy;
}

/** The servers of a storm and their storage. */
export interface Arena {
  readonly nodes: readonly BusProcess[];
  /** Client URLs: the network in front of each node. */
  readonly urls: readonly string[];
  /** Links between clients and nodes, and between nodes and their storage. */
  readonly network: readonly Stretch[];
  /** The storage server; null when the storage is in the node's own process. */
  readonly storage: PrivateRedis | PrivatePostgres | null;
  /** Reads a stream directly from the storage; the servers must be stopped. Null if nothing is stored then. */
  readonly read: ((room: string, channel: string) => Promise<StoredStream>) | null;
  close(): Promise<void>;
}

/** SQLite, memory: one node. Redis, PostgreSQL: two nodes with a dedicated server that syncs every write. */
export function openArena(engine: Engine, mode: Mode): Promise<Arena> {
  if (engine === 'redis') return openRedis(mode);
  if (engine === 'postgres') return openPostgres(mode);
  return engine === 'sqlite' ? openOne(mode, 'sqlite', 1) : openOne(mode, engine === 'local' ? 'sqlite' : 'memory', 2);
}

/** One node with storage in its own process. */
async function openOne(mode: Mode, backend: 'sqlite' | 'memory', workers: number): Promise<Arena> {
  const folder = await mkdtemp(join(tmpdir(), 'arqonbus-storm-'));
  const path = join(folder, 'bus.db');
  const node = await BusProcess.start('node', {
    ...settings(mode),
    ARQONBUS_STORAGE_BACKEND: backend,
    ARQONBUS_SQLITE_PATH: path,
    ARQONBUS_WORKERS: `${workers}`,
    TMPDIR: folder,
  });
  const arena = await connected([node], []);
  return {
    ...arena,
    storage: null,
    read: backend === 'memory' ? null : async (room, channel) => readSqlite(path, room, channel),
    close: async () => {
      await arena.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function openRedis(mode: Mode): Promise<Arena> {
  const redis = await PrivateRedis.start({ sync: 'always' });
  const end = (): void => void redis.kill();
  process.once('exit', end);
  const arena = await openNodes(redis.port, (port) => ({
    ...settings(mode),
    ARQONBUS_STORAGE_BACKEND: 'redis',
    ARQONBUS_REDIS_URL: redis.url().replace(`:${redis.port}/`, `:${port}/`),
  }));
  return {
    ...arena,
    storage: redis,
    read: (room, channel) => readRedis(redis, room, channel),
    close: async () => {
      await arena.close();
      process.off('exit', end);
      await redis.stop();
    },
  };
}

async function openPostgres(mode: Mode): Promise<Arena> {
  const postgres = await PrivatePostgres.start({ durable: true });
  const end = (): void => void postgres.kill();
  process.once('exit', end);
  const arena = await openNodes(postgres.port, (port) => ({
    ...settings(mode),
    ARQONBUS_STORAGE_BACKEND: 'postgres',
    ARQONBUS_POSTGRES_URL: postgres.url().replace(`:${postgres.port}/`, `:${port}/`),
  }));
  return {
    ...arena,
    storage: postgres,
    read: (room, channel) => readPostgres(postgres, room, channel),
    close: async () => {
      await arena.close();
      process.off('exit', end);
      await postgres.stop();
    },
  };
}

type Servers = Pick<Arena, 'nodes' | 'urls' | 'network' | 'close'>;

/** Two nodes, each with a breakable link to the storage at `port`. */
async function openNodes(port: number, settingsOf: (port: number) => Record<string, string>): Promise<Servers> {
  const ways: Stretch[] = [];
  for (const name of ['node-1', 'node-2']) {
    ways.push({ name: `the line of ${name} to its storage`, proxy: await TcpProxy.start(port) });
  }
  const nodes = await Promise.all(
    ways.map(({ proxy }, index) => BusProcess.start(`node-${index + 1}`, settingsOf(proxy.port))),
  );
  return connected(nodes, ways);
}

/** Nodes, each with a breakable link to its clients. */
async function connected(nodes: readonly BusProcess[], ways: readonly Stretch[]): Promise<Servers> {
  const fronts: Stretch[] = [];
  for (const { name, url } of nodes) {
    fronts.push({ name: `the lines of clients to ${name}`, proxy: await TcpProxy.start(Number(new URL(url).port)) });
  }
  const network = [...fronts, ...ways];
  return {
    nodes,
    network,
    urls: fronts.map(({ proxy }) => `ws://127.0.0.1:${proxy.port}`),
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      await Promise.all(network.map(({ proxy }) => proxy.stop()));
    },
  };
}

function settings(mode: Mode): Record<string, string> {
  return {
    ARQONBUS_STORAGE_MODE: mode,
    ARQONBUS_MAX_HISTORY_SIZE: `${HISTORY_SIZE}`,
    ARQONBUS_PING_INTERVAL_SECONDS: `${PING_SECONDS}`,
  };
}
