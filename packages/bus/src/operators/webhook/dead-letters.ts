import type { DeadLetter, JsonObject } from '@arqonbus/protocol';
import type { Awaitable, KeySpace, KeyValueStore } from '../../engine/engine.ts';
import { Delivery, MAX_BACKLOG_BYTES } from './delivery.ts';
import type { Rule } from './rule.ts';

export const MAX_DEAD_LETTERS = 1_000;

/** A delivery that was given up, with the reason. */
export interface FailedDelivery {
  readonly id: string;
  readonly room: string;
  readonly channel: string;
  readonly text: string;
  readonly attempts: number;
  readonly error: string;
  readonly failedAt: string;
}

/** Where dead letters are kept beyond this process. Both may reject. */
export interface DeadLetterStore {
  save(failed: FailedDelivery): Awaitable<void>;
  /** False when it was not there any more. */
  remove(id: string): Awaitable<boolean>;
}

/** One rule's dead letters, oldest first: at most 1,000 of them and 8 MiB, beyond which the oldest go. */
export class DeadLetters {
  private readonly byId: Map<string, FailedDelivery> = new Map();
  private readonly store: DeadLetterStore | null;
  private readonly onFault: (error: unknown) => void;
  private bytes = 0;

  /** @param store null: they live in memory alone, as the rule does */
  constructor(store: DeadLetterStore | null, onFault: (error: unknown) => void) {
    this.store = store;
    this.onFault = onFault;
  }

  get size(): number {
    return this.byId.size;
  }

  all(): FailedDelivery[] {
    return [...this.byId.values()];
  }

  /** Keeps a failed delivery. Resolves when the store has it too; a store that fails is a fault and costs it nothing here. */
  add(failed: FailedDelivery): Awaitable<void> {
    this.mirror(failed);
    for (const [id, oldest] of this.byId) {
      if (this.byId.size === 1 || (this.byId.size <= MAX_DEAD_LETTERS && this.bytes <= MAX_BACKLOG_BYTES)) break;
      this.forget(oldest.id);
      void this.guarded(() => this.store?.remove(id));
    }
    return this.guarded(() => this.store?.save(failed));
  }

  /** Takes one out; undefined when there is none of that id, or another node took it first. */
  async take(id: string): Promise<FailedDelivery | undefined> {
    const failed = this.byId.get(id);
    if (failed === undefined) return undefined;
    this.forget(id);
    if (this.store === null) return failed;
    try {
      return (await this.store.remove(id)) ? failed : undefined;
    } catch (error) {
      this.mirror(failed);
      throw error;
    }
  }

  /** Notes what the store holds already. */
  mirror(failed: FailedDelivery): void {
    this.forget(failed.id);
    this.byId.set(failed.id, failed);
    this.bytes += sizeOf(failed);
  }

  /** Notes that the store holds it no more. */
  forget(id: string): void {
    const failed = this.byId.get(id);
    if (failed === undefined) return;
    this.byId.delete(id);
    this.bytes -= sizeOf(failed);
  }

  private async guarded(step: () => Awaitable<unknown>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.onFault(error);
    }
  }
}

export function failedDelivery(delivery: Delivery, error: string, now: number): FailedDelivery {
  const { id, room, channel, text, attempts } = delivery;
  return { id, room, channel, text, attempts, error, failedAt: new Date(now).toISOString() };
}

/** The delivery begun anew; only this node has it. */
export function redeliver(ruleId: string, { room, channel, text, attempts }: FailedDelivery, now: number): Delivery {
  return new Delivery(ruleId, room, channel, text, now, true, attempts);
}

/** As `op.webhook.dead_letters` shows it. */
export function deadLetterRecord({ id, attempts, error, failedAt, text }: FailedDelivery): DeadLetter {
  return {
    delivery_id: id,
    attempts,
    last_error: error,
    failed_at: failedAt,
    envelope: JSON.parse(text) as JsonObject,
  };
}

function sizeOf({ text }: FailedDelivery): number {
  return text.length * 2;
}

const SPACE = 'webhook_dead';
const PAGE = 500;

/** Tells dead letters of equal time apart, so that they come back in the order they were given up in. */
interface StoredDeadLetter extends FailedDelivery {
  readonly order: number;
}

/** A durable rule's dead letters in the key-value store. The one who removes one may deliver it again. */
export class KeyValueDeadLetters implements DeadLetterStore {
  private readonly store: KeyValueStore;
  private readonly at: KeySpace;
  private order = 0;

  constructor(store: KeyValueStore, rule: Rule) {
    this.store = store;
    this.at = { tenant: rule.tenant, space: SPACE, namespace: rule.id };
  }

  async save(failed: FailedDelivery): Promise<void> {
    this.order = Math.max(this.order + 1, Date.parse(failed.failedAt));
    const stored: StoredDeadLetter = { ...failed, order: this.order };
    await this.store.set(this.at, failed.id, JSON.stringify(stored));
  }

  async remove(id: string): Promise<boolean> {
    const outcome = await this.store.delete(this.at, id);
    return outcome.ok && outcome.deleted;
  }

  /** All of them, oldest first. */
  async load(): Promise<FailedDelivery[]> {
    const found: StoredDeadLetter[] = [];
    for (let after: string | undefined; ; ) {
      const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const entries = await this.store.list(this.at, query);
      for (const { value } of entries) found.push(JSON.parse(value) as StoredDeadLetter);
      if (entries.length < PAGE) break;
      after = entries[entries.length - 1]?.key;
    }
    return found.sort((one, other) => one.order - other.order);
  }

  /** The rule is gone: so are they. */
  async clear(): Promise<void> {
    for (const { id } of await this.load()) await this.store.delete(this.at, id);
  }
}

/** Follows the dead letters that any node keeps or removes; returns the way to stop. */
export function watchDeadLetters(
  store: KeyValueStore,
  onKept: (tenant: string, ruleId: string, failed: FailedDelivery) => void,
  onGone: (tenant: string, ruleId: string, id: string) => void,
): () => void {
  return store.watch(SPACE, ({ at, key, value }) => {
    if (value === null) onGone(at.tenant, at.namespace, key);
    else onKept(at.tenant, at.namespace, JSON.parse(value) as FailedDelivery);
  });
}
