import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { PrivatePostgres } from '../../fixtures/private-postgres.ts';
import { PrivateRedis } from '../../fixtures/private-redis.ts';
import { BusProcess } from './bus-process.ts';
import type { Received } from './subscriber.ts';

export type Engine = 'sqlite' | 'redis' | 'postgres';
export type Mode = 'degraded' | 'strict';

/** More than a storm publishes: what retention takes away could not be told from what was lost. */
const HISTORY_SIZE = 1_000_000;

/** The servers of a storm and what they store in. */
export interface Arena {
  readonly nodes: readonly BusProcess[];
  /** The storage server; null when the storage lives in the node's own process. */
  readonly storage: PrivateRedis | PrivatePostgres | null;
  /** What a stream holds, read past the servers; they must have been stopped. */
  read(room: string, channel: string): Promise<{ epoch: string; events: Received[] }>;
  close(): Promise<void>;
}

/** SQLite: one node on a file. Redis, PostgreSQL: two nodes on a server of their own, which syncs every write. */
export function openArena(engine: Engine, mode: Mode): Promise<Arena> {
  if (engine === 'sqlite') return openSqlite(mode);
  return engine === 'redis' ? openRedis(mode) : openPostgres(mode);
}

async function openSqlite(mode: Mode): Promise<Arena> {
  const folder = await mkdtemp(join(tmpdir(), 'arqonbus-storm-'));
  const path = join(folder, 'bus.db');
  const node = await BusProcess.start('node-1', {
    ...settings(mode),
    ARQONBUS_STORAGE_BACKEND: 'sqlite',
    ARQONBUS_SQLITE_PATH: path,
  });
  return {
    nodes: [node],
    storage: null,
    read: async (room, channel) => readSqlite(path, room, channel),
    close: async () => {
      await node.kill();
      await rm(folder, { recursive: true });
    },
  };
}

async function openRedis(mode: Mode): Promise<Arena> {
  const redis = await PrivateRedis.start({ sync: 'always' });
  const end = (): void => void redis.kill();
  process.once('exit', end);
  const backend = { ...settings(mode), ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
  const nodes = await Promise.all(['node-1', 'node-2'].map((name) => BusProcess.start(name, backend)));
  return {
    nodes,
    storage: redis,
    read: (room, channel) => readRedis(redis, room, channel),
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      process.off('exit', end);
      await redis.stop();
    },
  };
}

async function openPostgres(mode: Mode): Promise<Arena> {
  const postgres = await PrivatePostgres.start({ durable: true });
  const end = (): void => void postgres.kill();
  process.once('exit', end);
  const backend = { ...settings(mode), ARQONBUS_STORAGE_BACKEND: 'postgres', ARQONBUS_POSTGRES_URL: postgres.url() };
  const nodes = await Promise.all(['node-1', 'node-2'].map((name) => BusProcess.start(name, backend)));
  return {
    nodes,
    storage: postgres,
    read: (room, channel) => readPostgres(postgres, room, channel),
    close: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
      process.off('exit', end);
      await postgres.stop();
    },
  };
}

function settings(mode: Mode): Record<string, string> {
  return { ARQONBUS_STORAGE_MODE: mode, ARQONBUS_MAX_HISTORY_SIZE: `${HISTORY_SIZE}` };
}

function readSqlite(path: string, room: string, channel: string): { epoch: string; events: Received[] } {
  const database = new Database(path, { readonly: true });
  try {
    const stream = database
      .prepare("SELECT id, epoch FROM streams WHERE tenant = 'default' AND room = ? AND channel = ?")
      .get(room, channel) as { id: number; epoch: string };
    const rows = database
      .prepare('SELECT sequence, text FROM messages WHERE stream = ? ORDER BY sequence')
      .all(stream.id) as { sequence: number; text: string }[];
    const events = rows.map(({ sequence, text }) => ({ sequence, id: (JSON.parse(text) as { id: string }).id }));
    return { epoch: stream.epoch, events };
  } finally {
    database.close();
  }
}

/** An entry's key begins with its sequence; its body is `TAG TIME ID …`. */
async function readRedis(redis: PrivateRedis, room: string, channel: string): ReturnType<Arena['read']> {
  const client = redis.client();
  try {
    const standing = (await client.hget(`arqon:{default/${room}}:streams`, channel)) ?? '';
    const entries = await client.xrange(`arqon:{default/${room}}:stream:${channel}`, '-', '+');
    const events = entries.map(([key, fields]) => ({
      sequence: Number(key.split('-')[0]),
      id: String(fields[1]?.split(' ', 3)[2]),
    }));
    return { epoch: String(standing.split(' ')[1]), events };
  } finally {
    client.disconnect();
  }
}

async function readPostgres(postgres: PrivatePostgres, room: string, channel: string): ReturnType<Arena['read']> {
  const client = postgres.client();
  try {
    const rows = await client<{ epoch: string; sequence: number; id: string }[]>`
      SELECT s.epoch, m.sequence::integer AS sequence, m.id
      FROM arqon_streams s JOIN arqon_messages m ON m.stream = s.id
      WHERE s.tenant = 'default' AND s.room = ${room} AND s.channel = ${channel} ORDER BY m.sequence`;
    return { epoch: String(rows[0]?.epoch), events: rows.map(({ sequence, id }) => ({ sequence, id })) };
  } finally {
    await client.end();
  }
}
