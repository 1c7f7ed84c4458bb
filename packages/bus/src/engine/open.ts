import { degraded } from './degraded.ts';
import type { Engine, EngineEvents, Retention } from './engine.ts';
import type { MemoryEngineOptions } from './memory/memory.ts';

/** Storage configuration; settings of other backends may be empty. */
export interface StorageOptions {
  readonly backend: 'memory' | 'sqlite' | 'redis' | 'valkey' | 'redis_streams' | 'valkey_streams' | 'postgres';
  /** While the backend is unavailable: deliver live without storing, or reject. */
  readonly mode: 'degraded' | 'strict';
  readonly sqlitePath: string;
  readonly redisUrl: string;
  readonly valkeyUrl: string;
  /**
   * Redis and Valkey: how many replicas must hold an event before its ack reports it as replicated, and how long to
   * wait for them, in milliseconds. With `fsync` they and the server must have synced it to disk.
   */
  readonly replication?: { readonly replicas: number; readonly waitMs: number; readonly fsync?: boolean };
  readonly postgresUrl?: string;
  /** The same PostgreSQL server without its pooler, used for LISTEN; empty if there is none. */
  readonly postgresListenUrl?: string;
  /** Retention of a channel that an application creates with `arqon_publish`, in SQL. */
  readonly retention?: Retention;
  /** This node's name, unique in its cluster. */
  readonly nodeId: string;
  /** The socket of the process on this machine that hosts the engine, for its workers; see `hostEngine`. */
  readonly hostPath?: string;
  /** Called when a worker can no longer know what changed in the store; see `LocalEngineOptions`. */
  readonly onStale?: () => void;
  /** Byte limits of in-memory histories, per process and per tenant; see {@link MemoryEngineOptions}. */
  readonly maxHistoryBytes?: MemoryEngineOptions['maxHistoryBytes'];
  readonly maxHistoryBytesPerTenant?: MemoryEngineOptions['maxHistoryBytesPerTenant'];
}

/**
 * Creates the configured engine in its mode, without opening it; loads no other engine's code. Rejects with one
 * sentence if it is unavailable: no address configured, or not in this build. Its driver is loaded on open, which
 * rejects with one sentence naming the package if it is not installed.
 */
export async function loadEngine(options: StorageOptions): Promise<Engine> {
  const engine = await loadStrictEngine(options);
  // An engine inside this process is never unavailable.
  const isHere = engine.backend === 'memory' && engine.presence === null;
  return options.mode === 'strict' || isHere ? engine : degraded(engine);
}

async function loadStrictEngine({ backend, nodeId, ...options }: StorageOptions): Promise<Engine> {
  const { hostPath: path, onStale } = options;
  const replication = options.replication === undefined ? {} : { replication: options.replication };
  if (path !== undefined && (backend === 'memory' || backend === 'sqlite')) {
    const { createLocalEngine } = await import('./local/local.ts');
    return createLocalEngine({ path, backend, nodeId, ...(onStale === undefined ? {} : { onStale }) });
  }
  switch (backend) {
    case 'memory': {
      const { createMemoryEngine } = await import('./memory/memory.ts');
      const { maxHistoryBytes, maxHistoryBytesPerTenant } = options;
      return createMemoryEngine({
        ...(maxHistoryBytes === undefined ? {} : { maxHistoryBytes }),
        ...(maxHistoryBytesPerTenant === undefined ? {} : { maxHistoryBytesPerTenant }),
      });
    }
    case 'sqlite': {
      const path = required(options.sqlitePath, 'sqlite', 'ARQONBUS_SQLITE_PATH');
      const { createSqliteEngine } = await import('./sqlite/sqlite.ts');
      return createSqliteEngine({ path });
    }
    case 'redis':
    case 'redis_streams': {
      const url = required(options.redisUrl, backend, 'ARQONBUS_REDIS_URL');
      const { createRedisEngine } = await import('./redis/redis.ts');
      return createRedisEngine({ backend: 'redis', url, nodeId, ...replication });
    }
    case 'valkey':
    case 'valkey_streams': {
      const url = required(options.valkeyUrl, backend, 'ARQONBUS_VALKEY_URL');
      const { createRedisEngine } = await import('./redis/redis.ts');
      return createRedisEngine({ backend: 'valkey', url, nodeId, ...replication });
    }
    case 'postgres': {
      const url = required(options.postgresUrl ?? '', backend, 'ARQONBUS_POSTGRES_URL');
      const { postgresListenUrl: listenUrl = '', retention } = options;
      const { createPostgresEngine } = await import('./postgres/postgres.ts');
      return createPostgresEngine({ url, listenUrl, nodeId, ...(retention === undefined ? {} : { retention }) });
    }
  }
}

/** {@link loadEngine}, opened. */
export async function openEngine(options: StorageOptions, events: EngineEvents): Promise<Engine> {
  const engine = await loadEngine(options);
  try {
    await engine.open(events);
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

function required(value: string, backend: string, setting: string): string {
  if (value === '') throw new Error(`The ${backend} storage backend needs ${setting}, which is not set.`);
  return value;
}
