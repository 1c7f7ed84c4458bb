import type { StorageOptions } from '@arqonbus/bus';
import type { Config } from './config.ts';

/** What the bus is told to open. The bytes of one channel are not among it: they belong to the channel's retention. */
export function storageOptions(storage: Config['storage'], nodeId: string): StorageOptions {
  const { backend, mode, sqlitePath, redisUrl, valkeyUrl, postgresUrl, postgresListenUrl } = storage;
  const { maxHistorySize: size, historyTtlSeconds, maxHistoryBytes: bytes } = storage;
  const { maxHistoryBytesPerTenant, maxHistoryBytesTotal } = storage;
  const { redisWaitReplicas: replicas, redisWaitFsync: fsync, redisWaitMs: waitMs } = storage;
  const options = {
    ...{ backend, mode, sqlitePath, redisUrl, valkeyUrl, postgresUrl, postgresListenUrl, nodeId },
    retention: { size, ttlMs: historyTtlSeconds * 1000, bytes },
    maxHistoryBytesPerTenant,
    ...(replicas === 0 && !fsync ? {} : { replication: { replicas, fsync, waitMs } }),
  };
  // 0 is the engine's own default.
  return maxHistoryBytesTotal === 0 ? options : { ...options, maxHistoryBytes: maxHistoryBytesTotal };
}
