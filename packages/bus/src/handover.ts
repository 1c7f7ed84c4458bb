import { IDEMPOTENCE_WINDOW_MS } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Awaitable, NodeMessage, Presence } from './engine/engine.ts';
import { RecentIds } from './engine/recent-ids.ts';

/** How long another node may take to confirm, in milliseconds. */
const CONFIRM_MS = 2_000;
/** Expired ids are removed after this many messages. */
const SWEEP_AFTER = 1_024;
const SCOPE = 0;

/** Messages that clients of this node have already received, within the deduplication window. */
export class Seen {
  private readonly ids: RecentIds = new RecentIds(performance.now());
  private count = 0;

  /** Whether a client has not yet received a message; marks it as received. */
  isNew(client: string, key: string): boolean {
    const now = performance.now();
    this.count += 1;
    if (this.count % SWEEP_AFTER === 0) this.ids.sweep(now);
    return this.ids.claim(SCOPE, client, key, 0, now, IDEMPOTENCE_WINDOW_MS) < 0;
  }
}

/** A private message for clients of another node. */
export interface Handed {
  readonly tenant: string;
  readonly clients: readonly string[];
  readonly text: string;
  /** The idempotency key. */
  readonly key: string;
  /** Whether it counts as reached only once it was sent to the client over an open connection. */
  readonly isWaitedFor?: boolean;
}

interface Waiting {
  readonly node: string;
  settle(reached: readonly string[]): void;
}

/**
 * Forwards private messages to clients of other nodes, and counts only confirmed ones: a node that is dead or cut off
 * looks alive for a while.
 */
export class Handover {
  private readonly presence: Presence;
  private readonly node: string;
  private readonly waiting: Map<number, Waiting> = new Map();
  private readonly seen: Seen;
  private count = 0;

  constructor(presence: Presence, node: string, seen: Seen) {
    this.presence = presence;
    this.node = node;
    this.seen = seen;
  }

  /** Resolves with the clients that the other node delivered it to; with none if it does not answer within 2 s. */
  send(node: string, { tenant, clients, text, key, isWaitedFor = false }: Handed): Promise<readonly string[]> {
    this.count += 1;
    const number = this.count;
    return new Promise((resolve) => {
      const settle = (reached: readonly string[]): void => {
        clearTimeout(timer);
        this.waiting.delete(number);
        resolve(reached);
      };
      const timer = setTimeout(settle, CONFIRM_MS, []).unref();
      this.waiting.set(number, { node, settle });
      const reply = { node: this.node, number };
      const message: NodeMessage = {
        ...{ kind: 'private', tenant, clients, text, key, reply },
        ...(isWaitedFor ? { isWaitedFor } : {}),
      };
      // A storage outage is already reported; no client received the message.
      Promise.resolve(this.presence.send(node, message)).catch(() => settle([]));
    });
  }

  /**
   * Handles a message from another node, and confirms it. `hand` delivers it to its local clients for which `isNew` is
   * true, and returns all clients that count as reached; it must not reject.
   */
  receive(
    { tenant, key = '', reply }: NodeMessage,
    hand: (isNew: (client: string) => boolean) => Awaitable<readonly string[]>,
  ): void {
    const handed = hand((client) => this.seen.isNew(client, key));
    if (reply === undefined) return;
    const { node, number } = reply;
    andThen(handed, (clients) => {
      const answer: NodeMessage = { kind: 'confirm', tenant, clients, text: '', reply: { node: this.node, number } };
      // After a lost confirmation the sender retries, which is harmless.
      Promise.resolve(this.presence.send(node, answer)).catch(() => {});
    });
  }

  confirmed({ clients, reply }: NodeMessage): void {
    if (reply === undefined) return;
    const waiting = this.waiting.get(reply.number);
    if (waiting?.node === reply.node) waiting.settle(clients);
  }
}
