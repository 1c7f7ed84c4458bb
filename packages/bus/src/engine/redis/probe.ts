import type { Redis } from 'ioredis';
import type { Durability } from '../engine.ts';
import type { Replication } from './confirmations.ts';

/** A write may wait a second for its sync, and for the end of the sync before; in milliseconds, with some room. */
const EVERY_SYNC_MS = 2_500;

/** What a server says of itself when one connects to it. */
export interface Probe {
  readonly cluster: boolean;
  readonly server: string;
  /** Changes whenever the server process does; empty when it does not say. */
  readonly runId: string;
  /**
   * Whether another process may go on with less than this one has answered for. One that syncs every write to its disk
   * may too when it has replicas, one of which takes its place, or when it once took the place of another.
   */
  readonly mayLose: boolean;
  /** What an ack may promise: `disk` only when every write is synced before it is answered. */
  readonly durability: Durability;
  readonly warnings: readonly string[];
}

/** What the engine knows beforehand of a server. */
export interface Expected {
  /** Sentinels replace it by a replica when it fails. */
  readonly isWatched: boolean;
  /** What is to be waited for; null: nothing. */
  readonly replication: Replication | null;
}

/**
 * Asks what the engine has to know. What the server forbids to ask
 * (CONFIG in managed services) counts as unset.
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
      // Of a cluster one would have to ask every master.
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

/** Rejects, with a sentence for people, when the server cannot say what it has synced. */
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
  // It would never tell of a sync.
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
