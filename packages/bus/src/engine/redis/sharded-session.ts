import type { Durability } from '../engine.ts';
import { hashTag, PARTITIONS, partitionOf } from './keys.ts';
import type { Script } from './scripts.ts';
import type { Appended, Argument, Session } from './session.ts';
import type { Host } from './url.ts';

/**
 * Several independent servers as one {@link Session}: a key is on the server assigned to its partition, so a room is on
 * one server and a tenant on all. It is lost when one of them is lost.
 */
export class ShardedSession implements Session {
  readonly cluster = false;
  readonly partitioned = true;
  readonly durability: Durability;
  readonly mayLose: boolean;
  readonly warnings: readonly string[];
  readonly server: string;
  readonly runId = '';
  readonly members: readonly Host[] = [];
  private readonly shards: readonly Session[];
  /** By partition. */
  private readonly owners: readonly Session[];
  /** For commands without a key, and for messages that all nodes must receive in the same order. */
  private readonly first: Session;

  /** In the order of the URLs, which determines the shard of a partition. */
  constructor(first: Session, others: readonly Session[]) {
    const shards = [first, ...others];
    this.first = first;
    this.shards = shards;
    this.owners = Array.from(
      { length: PARTITIONS },
      (_, partition) => shards[shardOf(partition, shards.length)] ?? first,
    );
    this.durability = shards.every(({ durability }) => durability === 'disk') ? 'disk' : 'memory';
    this.mayLose = shards.some(({ mayLose }) => mayLose);
    this.warnings = [...new Set(shards.flatMap(({ warnings }) => warnings))];
    this.server = [...new Set(shards.map(({ server }) => server))].join(', ');
  }

  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.ownerOf(args[0]).command(name, ...args);
  }

  async *scan(pattern: string): AsyncGenerator<string[]> {
    for (const shard of this.shards) yield* shard.scan(pattern);
  }

  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return this.ownerOf(keys[0]).run(script, keys, args);
  }

  runLoaded(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return this.ownerOf(keys[0]).runLoaded(script, keys, args);
  }

  append(script: Script, keys: readonly string[], args: readonly Argument[]): Appended {
    return this.ownerOf(keys[0]).append(script, keys, args);
  }

  async load(scripts: readonly Script[]): Promise<void> {
    await this.all((shard) => shard.load(scripts));
  }

  /** On all of them: scripts publish on the server that runs them. */
  async subscribe(topics: readonly string[]): Promise<void> {
    await this.all((shard) => shard.subscribe(topics));
  }

  async subscribePattern(pattern: string): Promise<void> {
    await this.all((shard) => shard.subscribePattern(pattern));
  }

  unsubscribePattern(pattern: string): void {
    for (const shard of this.shards) shard.unsubscribePattern(pattern);
  }

  async follow(topics: readonly string[]): Promise<void> {
    await Promise.all(this.byOwner(topics).map(([shard, some]) => shard.follow(some)));
  }

  unfollow(topics: readonly string[]): void {
    for (const [shard, some] of this.byOwner(topics)) shard.unfollow(some);
  }

  async fence(): Promise<void> {
    await this.all((shard) => shard.fence());
  }

  publish(topic: string, text: string): Promise<unknown> {
    return this.first.publish(topic, text);
  }

  close(): void {
    for (const shard of this.shards) shard.close();
  }

  private async all(work: (shard: Session) => Promise<void>): Promise<void> {
    await Promise.all(this.shards.map(work));
  }

  private byOwner(topics: readonly string[]): [Session, string[]][] {
    const groups = new Map<Session, string[]>();
    for (const topic of topics) {
      const owner = this.ownerOf(topic);
      const group = groups.get(owner);
      if (group === undefined) groups.set(owner, [topic]);
      else group.push(topic);
    }
    return [...groups];
  }

  private ownerOf(key: Argument | undefined): Session {
    if (typeof key !== 'string') return this.first;
    const tag = hashTag(key);
    const partition = /^p\d+$/.test(tag) ? Number(tag.slice(1)) : partitionOf(tag);
    return this.owners[partition] ?? this.first;
  }
}

/** The multiplier of the pseudo-random sequence used by jump consistent hash. */
const STEP = 2_862_933_555_777_941_757n;
const WORD = 64;

/** Jump consistent hash: adding a shard moves only that shard's portion of the partitions, all to the new shard. */
export function shardOf(partition: number, shards: number): number {
  let key = BigInt(partition);
  let shard = 0;
  for (let next = 0; next < shards; ) {
    shard = next;
    key = BigInt.asUintN(WORD, key * STEP + 1n);
    next = Math.floor((shard + 1) * (2 ** 31 / (Number(key >> 33n) + 1)));
  }
  return shard;
}
