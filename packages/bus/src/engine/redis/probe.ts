import type { Redis } from 'ioredis';
import type { Durability } from '../engine.ts';
import type { Replication } from './confirmations.ts';

/** A write may wait a second for its sync, plus the end of the previous sync; in milliseconds, with some margin. */
const EVERY_SYNC_MS = 2_500;

/** What a server reports about itself on connect. */
export interface Probe {
  readonly cluster: boolean;
  readonly server: string;
  /** Changes with every server process; empty if unknown. */
  readonly runId: string;
  /**
   * Whether another process may continue with less than this one has acknowledged. This is also possible with a server
   * that syncs every write to disk, if it has replicas, one of which may replace it, or if it once replaced another.
   */
  readonly mayLose: boolean;
  /** What an ack can guarantee: `disk` only if every write is synced before it is answered. */
  readonly durability: Durability;
  readonly warnings: readonly string[];
}

/** What the engine knows about a server in advance. */
export interface Expected {
  /** Sentinels replace it with a replica when it fails. */
  readonly isWatched: boolean;
  /** What to wait for; null: nothing. */
  readonly replication: Replication | null;
}

/**
 * Queries what the engine needs to know. Settings that the server does not let it read (CONFIG in managed services)
 * count as unset.
 */
export async function probe(redis: Redis, { isWatched, replication }: Expected): Promise<Probe> {
  const [info, appendOnly, appendSync, configuredPolicy] = await Promise.all([
    information(redis),
    setting(redis, 'appendonly'),
    setting(redis, 'appendfsync'),
    setting(redis, 'maxmemory-policy'),
  ]);
  const { replicas = 0, waitMs = 0, fsync = false } = replication ?? {};
  const policy = configuredPolicy ?? info.get('maxmemory_policy');
  const durability = appendOnly === 'yes' && appendSync === 'always' ? 'disk' : 'memory';
  const connected = Number(info.get('connected_slaves') ?? 0);
  const hasReplicas = connected > 0 || Number(info.get('second_repl_offset') ?? -1) >= 0;
  const cluster = info.get('redis_mode') === 'cluster' || info.get('server_mode') === 'cluster';
  const name = info.get('server_name') === 'valkey' || info.has('valkey_version') ? 'valkey' : 'redis';
  return {
    cluster,
    server: `${name} ${info.get('valkey_version') ?? info.get('redis_version') ?? '(version unknown)'}`,
    runId: info.get('run_id') ?? '',
    durability,
    mayLose: durability !== 'disk' || isWatched || hasReplicas,
    warnings: [
      ...(policy === undefined || policy === 'noeviction'
        ? []
        : [`maxmemory-policy is "${policy}": history and keys may be evicted; set it to "noeviction".`]),
      // In a cluster every master would have to be queried.
      ...(cluster || connected >= replicas
        ? []
        : [`ARQONBUS_REDIS_WAIT_REPLICAS is ${replicas}, and ${connected} replicas are connected to the server.`]),
      ...(fsync && appendSync === 'everysec' && waitMs < EVERY_SYNC_MS
        ? [
            `appendfsync is "everysec": set ARQONBUS_REDIS_WAIT_MS to ${EVERY_SYNC_MS} or more, or its syncs come too late.`,
          ]
        : []),
    ],
  };
}

/** Rejects, with a readable sentence, when the server cannot report what it has synced. */
export async function expectSyncing(redis: Redis, server: string): Promise<void> {
  const [refusal, appendSync] = await Promise.all([
    redis.call('waitaof', [1, 0, 1]).then(
      () => null,
      (error: Error) => error,
    ),
    setting(redis, 'appendfsync'),
  ]);
  const needs = 'ARQONBUS_REDIS_WAIT_FSYNC is set, and';
  if (refusal?.message.includes('unknown command')) {
    throw new Error(`${needs} ${server} does not know WAITAOF: it takes Redis 7.2 or newer, or Valkey`);
  }
  if (refusal?.message.includes('appendonly')) throw new Error(`${needs} appendonly is "no": set it to "yes"`);
  if (refusal !== null) throw refusal;
  // It would never report a sync.
  if (appendSync === 'no') throw new Error(`${needs} appendfsync is "no": set it to "everysec" or "always"`);
}

async function information(redis: Redis): Promise<Map<string, string>> {
  const fields = new Map<string, string>();
  const text = await redis.info().catch(() => '');
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

async function setting(redis: Redis, name: string): Promise<string | undefined> {
  const answer = await redis.config('GET', name).catch(() => []);
  return Array.isArray(answer) && typeof answer[1] === 'string' ? answer[1] : undefined;
}
