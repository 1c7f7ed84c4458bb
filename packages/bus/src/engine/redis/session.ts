import type { Cluster, Redis } from 'ioredis';
import type { Durability } from '../engine.ts';
import type { Confirmations, Confirmed } from './confirmations.ts';
import type { Probe } from './probe.ts';
import type { Script } from './scripts.ts';
import type { MasterWatch } from './sentinels.ts';
import type { ShardLines } from './shard-lines.ts';
import type { Host } from './url.ts';

const PULSE_MS = 1_000;
/** Unanswered pulses after which a connection counts as lost, even if it was not closed. */
const MISSED_PULSES = 3;
/** Keys per scan step. */
const SCANNED = 1_000;
/** Concurrent calls for the items of a list. */
const AT_ONCE = 200;

export type Argument = string | number;

/** The server as seen by the engine, from connecting until the connection is lost. After that every call rejects. */
export interface Session {
  /** A Redis Cluster, which has slots, but no patterns for sharded topics. */
  readonly cluster: boolean;
  /** Rooms are distributed over several servers by partition. */
  readonly partitioned: boolean;
  readonly durability: Durability;
  readonly warnings: readonly string[];
  /** Name and version of the server, for display. */
  readonly server: string;
  /** Changes with every server process; empty if unknown. */
  readonly runId: string;
  /** Whether another process may continue with less than this one acknowledged: data in memory, or replicas. */
  readonly mayLose: boolean;
  /** The servers of a cluster; any of them accepts connections. */
  readonly members: readonly Host[];
  command(name: string, ...args: Argument[]): Promise<unknown>;
  /** The names of all matching keys, by page; keys added or removed meanwhile may be missing or appear twice. */
  scan(pattern: string): AsyncIterable<string[]>;
  /** Runs a script by its digest, sending its text if the server does not have it. */
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown>;
  /** Runs a script by its digest, or rejects with `NOSCRIPT`: for calls whose order a retry would break. */
  runLoaded(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown>;
  /** Runs a script like `runLoaded`, and reports what is confirmed of it; null if only the server answers. */
  append(script: Script, keys: readonly string[], args: readonly Argument[]): Appended;
  load(scripts: readonly Script[]): Promise<void>;
  /** Resolves once the server has confirmed: later messages arrive. */
  subscribe(topics: readonly string[]): Promise<void>;
  subscribePattern(pattern: string): Promise<void>;
  unsubscribePattern(pattern: string): void;
  /** Like `subscribe`, for topics of rooms: in a cluster on the masters that own them, each keeping its order. */
  follow(topics: readonly string[]): Promise<void>;
  unfollow(topics: readonly string[]): void;
  /** Resolves once everything published before, to followed topics, has arrived. */
  fence(): Promise<void>;
  /** Publishes; messages of one node arrive in order. */
  publish(topic: string, text: string): Promise<unknown>;
  close(): void;
}

/** The result of a batch. */
export interface Appended {
  readonly answers: Promise<unknown>;
  /** What its acks can guarantee; never rejects. Null if they do not wait for confirmation. */
  readonly confirmed: Promise<Confirmed> | null;
}

export interface SessionEvents {
  message(topic: string, text: string): void;
  /** Called once, when either connection is gone or silent. Never after `close`. */
  lost(reason: string): void;
}

/** Open connections to one server, or to the members of a cluster. */
export interface Connections {
  readonly commands: Redis | Cluster;
  /** One server, also in a cluster: commands without a key would go to any member and lose their order. */
  readonly direct: Redis;
  readonly subscriber: Redis;
  /** Only in a cluster. */
  readonly shards: ShardLines | null;
  /** If replicas or disks are waited for. */
  readonly confirmations: Confirmations | null;
  readonly watch: MasterWatch | null;
}

/** A {@link Session} on open connections. */
export class RedisSession implements Session {
  readonly cluster: boolean;
  readonly partitioned: boolean;
  readonly durability: Durability;
  readonly warnings: readonly string[];
  readonly server: string;
  readonly runId: string;
  readonly mayLose: boolean;
  readonly members: readonly Host[];
  private readonly commands: Redis | Cluster;
  private readonly direct: Redis;
  private readonly subscriber: Redis;
  private readonly shards: ShardLines | null;
  private readonly confirmations: Confirmations | null;
  /** All connections to a single server, as opposed to the cluster client. */
  private readonly lines: readonly Redis[];
  private readonly watch: MasterWatch | null;
  private readonly events: SessionEvents;
  private readonly pulse: NodeJS.Timeout;
  private answered = true;
  private missed = 0;
  private closed = false;
  /** Pending calls to a cluster: its client leaves some of them unsettled on disconnect. */
  private readonly open = new Set<(error: Error) => void>();

  constructor(
    { commands, direct, subscriber, shards, confirmations, watch }: Connections,
    found: Probe,
    events: SessionEvents,
  ) {
    this.commands = commands;
    this.direct = direct;
    this.subscriber = subscriber;
    this.shards = shards;
    this.confirmations = confirmations;
    this.lines = [direct, subscriber, ...(shards?.clients ?? []), ...(confirmations?.clients ?? [])];
    this.watch = watch;
    this.events = events;
    this.cluster = found.cluster;
    this.partitioned = found.cluster;
    this.durability = found.durability;
    this.warnings = found.warnings;
    this.server = found.server;
    this.runId = found.runId;
    this.mayLose = found.mayLose;
    this.members = 'nodes' in commands ? commands.nodes('all').map(({ options }) => placeOf(options)) : [];
    subscriber.on('message', (topic: string, text: string) => events.message(topic, text));
    subscriber.on('pmessage', (_pattern: string, topic: string, text: string) => events.message(topic, text));
    let reason = 'the connection was closed';
    shards?.start(events.message, () => this.lose('slots of the cluster have moved'));
    for (const client of new Set([commands, ...this.lines])) {
      client.on('error', (error: Error) => {
        reason = error.message;
      });
      client.on('end', () => this.lose(reason));
    }
    watch?.start(() => this.lose('the sentinels chose another master'));
    this.pulse = setInterval(() => this.beat(), PULSE_MS);
    this.pulse.unref();
  }

  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.settled(this.commands.call(name, args));
  }

  async *scan(pattern: string): AsyncGenerator<string[]> {
    const servers = 'nodes' in this.commands ? this.commands.nodes('master') : [this.commands];
    for (const server of servers) {
      let cursor = '0';
      do {
        const page = await this.settled(server.call('scan', [cursor, 'MATCH', pattern, 'COUNT', `${SCANNED}`]));
        const [next, names] = page as [string, string[]];
        yield names;
        cursor = next;
      } while (cursor !== '0');
    }
  }

  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.runLoaded(script, keys, args);
    } catch (error) {
      if (!isMissingScript(error)) throw error;
      return this.command('eval', script.lua, keys.length, ...keys, ...args);
    }
  }

  runLoaded(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return this.command('evalsha', script.sha, keys.length, ...keys, ...args);
  }

  append(script: Script, keys: readonly string[], args: readonly Argument[]): Appended {
    const answers = this.runLoaded(script, keys, args);
    return { answers, confirmed: this.confirmations?.of(answers, keys[0] ?? '') ?? null };
  }

  async load(scripts: readonly Script[]): Promise<void> {
    const servers = 'nodes' in this.commands ? this.commands.nodes('master') : [this.commands];
    const loading = Promise.all(
      servers.flatMap((server) => scripts.map((script) => server.call('script', ['load', script.lua]))),
    );
    await this.settled(loading);
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    if (topics.length > 0) await this.subscriber.subscribe(...topics);
  }

  async subscribePattern(pattern: string): Promise<void> {
    await this.subscriber.psubscribe(pattern);
  }

  unsubscribePattern(pattern: string): void {
    this.subscriber.punsubscribe(pattern).catch(() => {});
  }

  follow(topics: readonly string[]): Promise<void> {
    return this.shards === null ? this.subscribe(topics) : this.settled(this.shards.follow(topics));
  }

  unfollow(topics: readonly string[]): void {
    if (topics.length === 0) return;
    if (this.shards !== null) this.shards.unfollow(topics);
    // A lost connection has no subscriptions to end.
    else this.subscriber.unsubscribe(...topics).catch(() => {});
  }

  async fence(): Promise<void> {
    await this.settled(Promise.all([this.subscriber, ...(this.shards?.clients ?? [])].map((line) => line.ping())));
  }

  publish(topic: string, text: string): Promise<unknown> {
    return this.direct.publish(topic, text);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.pulse);
    this.watch?.close();
    this.commands.disconnect();
    for (const client of this.lines) client.disconnect();
    for (const reject of this.open) reject(new Error('the connection was closed'));
  }

  private settled<T>(answer: Promise<T>): Promise<T> {
    if (!this.cluster) return answer;
    return new Promise((resolve, reject) => {
      this.open.add(reject);
      const done = (): boolean => this.open.delete(reject);
      answer.then(resolve, reject).then(done, done);
    });
  }

  private lose(reason: string): void {
    if (this.closed) return;
    this.close();
    this.events.lost(reason);
  }

  private beat(): void {
    this.missed = this.answered ? 0 : this.missed + 1;
    if (this.missed >= MISSED_PULSES) this.lose(`no answer for ${(MISSED_PULSES * PULSE_MS) / 1000} s`);
    if (!this.answered) return;
    this.answered = false;
    // An error is an answer too, for instance from an unavailable cluster member; only silence is not. Pings queued
    // behind a WAIT are answered late, but those connections end with the others.
    const asked = this.lines.filter((line) => !this.confirmations?.clients.includes(line));
    Promise.allSettled([this.commands.call('ping'), ...asked.map((line) => line.ping())]).then(() => {
      this.answered = true;
    });
  }
}

/** Makes a script ask its server for its run id: each of several servers has its own. */
const OWN_RUN = '?';

/** For scripts: the run id of a server whose process may lose acknowledged data; empty if it cannot. */
export function lossyRun({ mayLose, partitioned, runId }: Pick<Session, 'mayLose' | 'partitioned' | 'runId'>): string {
  if (!mayLose) return '';
  return partitioned ? OWN_RUN : runId;
}

function placeOf({ host = '', port = 0 }: { host?: string | undefined; port?: number | undefined }): Host {
  return { host, port };
}

function isMissingScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** Runs `work` for every item, at most a few hundred concurrently: a reconnect must not flood the server. */
export async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(start, start + AT_ONCE).map(work))));
  }
  return results;
}

/** The fields of a hash, in either of the driver's formats. */
export function fields(reply: unknown): [string, string][] {
  if (!Array.isArray(reply)) return Object.entries((reply ?? {}) as Record<string, string>);
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < reply.length; at += 2) pairs.push([String(reply[at]), String(reply[at + 1])]);
  return pairs;
}
