import type { StorageOptions } from '@arqonbus/bus';
import type { Config } from './config.ts';

/** The storage options for the bus. The byte limit per channel is part of the channel's retention. */
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
  // 0 means the engine's default.
  return maxHistoryBytesTotal === 0 ? options : { ...options, maxHistoryBytes: maxHistoryBytesTotal };
}
