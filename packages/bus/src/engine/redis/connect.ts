import { isIP } from 'node:net';
import type { Cluster, Redis } from 'ioredis';
import { Confirmations, questionsOf, type Replication } from './confirmations.ts';
import { Keys } from './keys.ts';
import { expectSyncing, type Probe, probe } from './probe.ts';
import { type MasterWatch, type Options, type SentinelCredentials, Sentinels } from './sentinels.ts';
import { RedisSession, type Session, type SessionEvents } from './session.ts';
import { ShardLines } from './shard-lines.ts';
import { ShardedSession } from './sharded-session.ts';
import type { Host, RedisAddress } from './url.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** For connecting and probing. Some of the driver's promises never settle when a server dies in the meantime. */
const OPEN_TIMEOUT_MS = 10_000;
/** Polling interval for a server that is loading its data from disk. */
const LOADING_RETRY_MS = 100;

type Driver = Pick<typeof import('ioredis'), 'Redis'>;

export interface Target {
  readonly address: RedisAddress;
  /** The servers that share all rooms with it, by partition. */
  readonly others: readonly RedisAddress[];
  /** Shown in the server's list of clients. */
  readonly name: string;
  /** What an ack waits for; null: nothing. */
  readonly replication: Replication | null;
}

/**
 * Connects to a server, to the members of a cluster, or to all of several servers that share the rooms. Rejects with
 * the server's or the system's reason, which contains no credentials; if it concerns one of several servers, `shown`
 * names it.
 */
export async function openSession(target: Target, events: SessionEvents): Promise<Session> {
  const { address, others } = target;
  if (others.length === 0) {
    const session = await openServer(target, events);
    return session.cluster ? session : agreed(session, null);
  }
  let whole: ShardedSession | null = null;
  let lost: string | null = null;
  const lose = (reason: string): void => {
    if (lost !== null) return;
    lost = reason;
    whole?.close();
    if (whole !== null) events.lost(reason);
  };
  const open = async (each: RedisAddress, number: number): Promise<Session> => {
    try {
      const session = await openServer(
        { ...target, address: each },
        { message: events.message, lost: (reason) => lose(`${each.shown}: ${reason}`) },
      );
      return await agreed(session, `${number} of ${others.length + 1}`);
    } catch (error) {
      throw Object.assign(error as Error, { shown: each.shown });
    }
  };
  const opening = await Promise.allSettled([address, ...others].map((each, index) => open(each, index + 1)));
  const [first, ...rest] = opening.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const failed = opening.find((each) => each.status === 'rejected');
  if (first === undefined || failed !== undefined || lost !== null) {
    for (const session of [first, ...rest]) session?.close();
    throw failed?.reason ?? new Error(lost ?? 'the connection was lost again');
  }
  whole = new ShardedSession(first, rest);
  return whole;
}

/**
 * Makes sure that all nodes use this server as the same one of several, or (null) as the only one: otherwise the
 * members of a room would be separated unnoticed.
 */
async function agreed(session: Session, place: string | null): Promise<Session> {
  try {
    const known = await (place === null
      ? session.command('get', Keys.shard)
      : session.command('set', Keys.shard, place, 'NX', 'GET'));
    if (typeof known === 'string' && known !== place) {
      throw new Error(`other nodes know it as number ${known}: give all of them the same URLs in the same order`);
    }
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

/**
 * Opens two connections, one for commands and one for subscriptions, and determines the kind of server: a member of a
 * Redis Cluster is accessed through a client that knows the slots, with a subscription on each of its masters.
 */
async function openServer({ address, others, name, replication }: Target, events: SessionEvents): Promise<Session> {
  const driver = await import('ioredis');
  const options = optionsOf(address, name);
  const opened: (Redis | Cluster)[] = [];
  const opening = async (): Promise<Session> => {
    const { direct, at, watch } = await connectFirst(driver, address, options, opened);
    const another = async (place: Options): Promise<Redis> => {
      const client = new driver.Redis({ ...options, ...place });
      opened.push(client);
      await connect(client);
      return client;
    };
    const subscriber = await another(at);
    // Selected again, because the driver continues in database 0 if the configured one does not exist.
    if (address.database > 0) await direct.select(address.database);
    const found = await probe(direct, { isWatched: address.sentinels !== null, replication });
    if (found.cluster && others.length > 0) throw new Error('it is a member of a cluster, which stands alone');
    if (!found.cluster) {
      const toServer = async (): Promise<Map<string, Redis>> => new Map([['', await another(at)]]);
      const confirmations = await openConfirmations(replication, toServer, () => '', found);
      return new RedisSession(
        { commands: direct, direct, subscriber, shards: null, confirmations, watch },
        found,
        events,
      );
    }
    const { db: _database, retryStrategy: _retry, enableOfflineQueue: _queue, ...redisOptions } = options;
    const cluster = new driver.Cluster([at], {
      redisOptions,
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      ...(address.tls ? { dnsLookup: (host, callback) => callback(null, host) } : {}),
    });
    opened.push(cluster);
    await connect(cluster);
    const masters = cluster.nodes('master').map(({ options: { host = '', port = 0, tls } }) => ({
      name: `${host}:${port}`,
      at: { host, port, ...(tls === undefined ? {} : { tls }) },
    }));
    const toMasters = async (): Promise<Map<string, Redis>> =>
      new Map(await Promise.all(masters.map(async ({ name, at: place }) => [name, await another(place)] as const)));
    const shards = new ShardLines(cluster, await toMasters());
    await Promise.all(shards.clients.map(expectWhole));
    const ownerOf = (key: string): string => shards.ownerOf(key);
    const confirmations = await openConfirmations(replication, toMasters, ownerOf, found);
    // Others may have replicas even if this one has none.
    const mayLose = found.mayLose || cluster.nodes('slave').length > 0;
    return new RedisSession(
      { commands: cluster, direct, subscriber, shards, confirmations, watch },
      { ...found, mayLose },
      events,
    );
  };
  try {
    return await inTime(OPEN_TIMEOUT_MS, opening());
  } catch (error) {
    for (const client of opened) client.disconnect();
    throw error;
  }
}

/**
 * Opens a connection to each master for each question that acks wait for, if any. Rejects if acks wait for syncs and a
 * server cannot report them.
 */
async function openConfirmations(
  replication: Replication | null,
  toMasters: () => Promise<ReadonlyMap<string, Redis>>,
  ownerOf: (key: string) => string,
  { server }: Probe,
): Promise<Confirmations | null> {
  if (replication === null) return null;
  const questions = questionsOf(replication);
  const asked = await Promise.all(questions.map(async (question) => [question, await toMasters()] as const));
  const [first] = asked;
  if (replication.fsync && first !== undefined) {
    await Promise.all([...first[1].values()].map((client) => expectSyncing(client, server)));
  }
  return new Confirmations(asked, ownerOf);
}

function optionsOf(address: RedisAddress, name: string): Options {
  return {
    host: address.host,
    port: address.port,
    db: address.database,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls
      ? { tls: isIP(address.host) === 0 && address.host !== '' ? { servername: address.host } : {} }
      : {}),
    protocol: 2,
    connectionName: `arqonbus-${name.replace(/[^\w.-]/g, '_')}`,
    connectTimeout: CONNECT_TIMEOUT_MS,
    disableClientInfo: true,
    maxLoadingRetryTime: LOADING_RETRY_MS,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => null,
  };
}

/** Rejects if the cluster, as seen by one of its masters, does not serve all its slots. */
async function expectWhole(master: Redis): Promise<void> {
  const state = /^cluster_state:(\w+)/m.exec(String(await master.cluster('INFO')))?.[1];
  if (state !== 'ok') throw new Error(`CLUSTERDOWN the state of the cluster is "${state}"`);
}

/** The first connection, its server, and the watch that reports when that is no longer the master. */
interface First {
  readonly direct: Redis;
  readonly at: Host;
  readonly watch: MasterWatch | null;
}

/** Connects to the server in the URL, or to the one that sentinels report as the master. */
async function connectFirst(
  { Redis }: Driver,
  { host, port, sentinels, username, password }: RedisAddress,
  options: Options,
  opened: (Redis | Cluster)[],
): Promise<First> {
  const open = async (direct: Redis): Promise<Redis> => {
    opened.push(direct);
    await connect(direct);
    return direct;
  };
  if (sentinels === null) return { direct: await open(new Redis(options)), at: { host, port }, watch: null };
  const asked = new Sentinels(Redis, { ...options, sentinelCommandTimeout: CONNECT_TIMEOUT_MS }, sentinels);
  const ask = async (credentials: SentinelCredentials): Promise<First> => {
    const direct = await open(asked.client(credentials));
    return { direct, at: asked.master, watch: asked.watch(credentials) };
  };
  try {
    return await ask({});
  } catch (error) {
    if (!asked.wantsPassword || password === undefined) throw asked.faultOf(error as Error);
  }
  // Most sentinels need no password; those that do are given the server's.
  try {
    return await ask({ password, ...(username === undefined ? {} : { username }) });
  } catch (error) {
    throw asked.faultOf(error as Error);
  }
}

async function inTime<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('connect ETIMEDOUT')), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Connects, and rejects with the cause: the client's own rejection only says that the connection was closed. */
async function connect(client: Redis | Cluster): Promise<void> {
  let cause: unknown;
  client.on('error', (error: unknown) => {
    cause = (error as { lastNodeError?: unknown }).lastNodeError ?? error;
  });
  try {
    // An unusable cluster ends without settling its `connect`.
    await new Promise<void>((resolve, reject) => {
      client.once('end', () => reject(new Error('the server ended the connection')));
      client.connect().then(resolve, reject);
    });
  } catch (error) {
    throw cause ?? error;
  }
}
