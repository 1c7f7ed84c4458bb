import type { Cluster, Redis } from 'ioredis';
import { hashTag, slotOf } from './keys.ts';

/**
 * One connection to each master of a Redis Cluster for messages published to the topics of its slots: the order of a
 * slot is that of the connection, and no event crosses the cluster bus.
 *
 * Moved slots are not followed: `onMoved` is called, and the caller reconnects.
 */
export class ShardLines {
  readonly clients: readonly Redis[];
  private readonly cluster: Cluster;
  private readonly lines: ReadonlyMap<string, Redis>;

  /** `lines` are by the address of their master, `HOST:PORT`. */
  constructor(cluster: Cluster, lines: ReadonlyMap<string, Redis>) {
    this.cluster = cluster;
    this.lines = lines;
    this.clients = [...lines.values()];
  }

  start(onMessage: (topic: string, text: string) => void, onMoved: () => void): void {
    for (const client of this.clients) {
      client.on('smessage', onMessage);
      client.on('moved', onMoved);
    }
  }

  /** Resolves when all are followed. Rejects when a master is unknown, or no longer has the slot. */
  async follow(topics: readonly string[]): Promise<void> {
    const bySlot = new Map<string, string[]>();
    for (const topic of topics) {
      const tag = hashTag(topic);
      const same = bySlot.get(tag);
      if (same === undefined) bySlot.set(tag, [topic]);
      else same.push(topic);
    }
    await Promise.all([...bySlot.values()].map((same) => this.lineOf(same[0] ?? '').ssubscribe(...same)));
  }

  unfollow(topics: readonly string[]): void {
    // A lost connection has no subscriptions to end.
    for (const topic of topics) {
      this.lines
        .get(this.ownerOf(topic))
        ?.sunsubscribe(topic)
        .catch(() => {});
    }
  }

  private lineOf(topic: string): Redis {
    const line = this.lines.get(this.ownerOf(topic));
    if (line === undefined) throw new Error('CLUSTERDOWN a slot has no master that is known');
    return line;
  }

  /** The address of the master that has the slot of a key or topic. */
  ownerOf(name: string): string {
    return this.cluster.slots[slotOf(name)]?.[0] ?? '';
  }
}
