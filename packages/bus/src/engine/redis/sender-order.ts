import type { Pending } from './pending.ts';

/**
 * Makes batches for a Redis Cluster. A batch is of one room, so of one slot; and since rooms live on servers that know
 * nothing of each other, a sender's publication to another room waits until those before it have come back. So its own
 * node sees them in the order sent; another node may, for the moment that the cluster needs to pass an event on, not.
 */
export class SenderOrder {
  private readonly senders = new Map<string, { readonly topic: string; open: number }>();

  /**
   * Chooses the next batch of what waits: the room of the first that may go, and all that may go with it. Answers it,
   * and what goes on waiting.
   */
  cut(unsent: readonly Pending[], mostItems: number, mostText: number): [batch: Pending[], waiting: Pending[]] {
    const batch: Pending[] = [];
    const waiting: Pending[] = [];
    const overtaken = new Set<string>();
    let text = 0;
    for (const pending of unsent) {
      const { identity } = pending.publication;
      const topic = batch[0]?.topic ?? pending.topic;
      const sent = this.senders.get(identity);
      const free = pending.topic === topic && (sent === undefined || sent.topic === topic) && !overtaken.has(identity);
      if (free && batch.length < mostItems && text < mostText) {
        batch.push(pending);
        text += pending.body.length;
        this.sent(identity, topic);
      } else {
        waiting.push(pending);
        overtaken.add(identity);
      }
    }
    return [batch, waiting];
  }

  /** A publication that was cut is answered. */
  done({ publication: { identity } }: Pending): void {
    const sender = this.senders.get(identity);
    if (sender === undefined) return;
    sender.open -= 1;
    if (sender.open <= 0) this.senders.delete(identity);
  }

  /** Everything not answered is going to be cut anew. */
  reset(): void {
    this.senders.clear();
  }

  private sent(identity: string, topic: string): void {
    const sender = this.senders.get(identity);
    if (sender === undefined) this.senders.set(identity, { topic, open: 1 });
    else sender.open += 1;
  }
}
