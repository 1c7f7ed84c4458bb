import { BusError, type WebhookRule } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { Awaitable } from '../../engine/engine.ts';
import type { Owner } from '../owner.ts';
import { type AttemptOutcome, attempt, type Requester } from './attempt.ts';
import { type DeadLetters, failedDelivery, redeliver } from './dead-letters.ts';
import { Backlog, type Delivery } from './delivery.ts';
import { type AttemptFailure, DeliveryQueue, type QueueLimits } from './delivery-queue.ts';
import type { HostSlots } from './host-slots.ts';
import type { Rule } from './rule.ts';

/** How long a node keeps what another one posts, in case that one is gone. */
const STANDBY_MS = 60_000;

/** The queue was stopped meanwhile and does not look at it. */
const NOT_MADE: AttemptOutcome = { ok: false, status: null, error: 'stopped', retryable: true };
const NOT_ALLOWED: AttemptOutcome = {
  ok: false,
  status: null,
  error: "the owner's grants do not cover this any more",
  retryable: false,
};

/** How deliveries ended, and how many requests were repeated, since the start. */
export interface DeliveryCounts {
  delivered: number;
  retried: number;
  failed: number;
  dropped: number;
}

export interface ActiveRuleParts {
  readonly requester: Requester;
  readonly slots: HostSlots;
  readonly access: Access;
  readonly random: () => number;
  readonly limits: QueueLimits;
  /** The figures of all rules together. */
  readonly totals: DeliveryCounts;
  /** Marks a delivery as done in the cluster; false when it was before. Null where this node is the only one. */
  readonly claim: ((key: string) => Awaitable<boolean>) | null;
  /** Tells that a request failed or deliveries were dropped; nothing in it is secret. */
  readonly tell: (rule: Rule, what: FailureReport) => void;
  readonly onFault: (error: unknown) => void;
}

export interface FailureReport {
  readonly deliveryId: string | null;
  readonly attempt: number;
  readonly status: number | null;
  readonly error: string;
  readonly willRetry: boolean;
}

/** A rule at work: what waits for its endpoint, what was given up, and its figures on this node. */
export class ActiveRule {
  readonly rule: Rule;
  readonly owner: Owner;
  readonly deadLetters: DeadLetters;
  readonly queue: DeliveryQueue;
  private readonly parts: ActiveRuleParts;
  private readonly standby: Backlog<Delivery>;
  private readonly counts = { delivered: 0, failed: 0, dropped: 0 };

  constructor(rule: Rule, owner: Owner, deadLetters: DeadLetters, parts: ActiveRuleParts) {
    this.rule = rule;
    this.owner = owner;
    this.deadLetters = deadLetters;
    this.parts = parts;
    const { requester, random, limits, onFault } = parts;
    this.standby = new Backlog(limits.maxQueue);
    this.queue = new DeliveryQueue({
      clock: requester.clock,
      random,
      limits,
      attempt: (delivery, stop) => this.post(delivery, stop),
      isOpen: (delivery) => this.claim(delivery),
      onDelivered: (delivery) => this.delivered(delivery),
      onFailure: (delivery, failure, final) => this.failed(delivery, failure, final),
      onSurrendered: (delivery) => this.standby.push(delivery),
      onDropped: (count, first) => this.dropped(count, first),
      onFault,
    });
  }

  /** Whether the owner may read there now. Asked for each event, and again before it is posted. */
  mayRead(room: string, channel: string): boolean {
    return this.parts.access.may(this.owner.current(), 'subscribe', room, channel);
  }

  /**
   * Takes an event that matches.
   *
   * @param posting whether this node posts for the rule; when not, the event is kept for the case that it has to
   */
  accept(delivery: Delivery, posting: boolean): void {
    if (posting || delivery.exclusive) {
      this.queue.push(delivery);
      return;
    }
    const oldest = delivery.time - STANDBY_MS;
    for (let next = this.standby.peek(); next !== undefined && next.time < oldest; next = this.standby.peek()) {
      this.standby.shift();
    }
    this.standby.push(delivery);
  }

  /** This node posts from now on, what another one may have left undone first. */
  takeOver(): void {
    this.queue.reclaim();
    const oldest = this.parts.requester.clock.steady() - STANDBY_MS;
    for (const delivery of this.standby.drain()) {
      if (delivery.time < oldest) continue;
      delivery.inherited = true;
      delivery.surrendered = false;
      this.queue.push(delivery);
    }
  }

  /** Another node posts from now on. */
  standDown(): void {
    for (const delivery of this.queue.surrender()) this.standby.push(delivery);
  }

  /**
   * Begins dead letters anew, behind what waits already; all of them, or the one of that id. As many as the queue has
   * room for; answers how many. Throws NOT_FOUND for an id that is not among them.
   */
  async retry(id: string | undefined): Promise<number> {
    const all = this.deadLetters.all();
    const chosen = id === undefined ? all : all.filter((failed) => failed.id === id);
    if (id !== undefined && chosen.length === 0) {
      throw new BusError('NOT_FOUND', 'This rule has no dead letter of that delivery_id.', { delivery_id: id });
    }
    let requeued = 0;
    for (const { id: each, room, channel } of chosen) {
      if (this.queue.isFull) break;
      if (!this.mayRead(room, channel)) continue;
      const failed = await this.deadLetters.take(each);
      if (failed === undefined) continue;
      this.queue.push(redeliver(this.rule.id, failed, this.parts.requester.clock.steady()));
      requeued += 1;
    }
    return requeued;
  }

  /** As commands show it: neither headers nor the secret. */
  record(): WebhookRule {
    const { rule, counts } = this;
    return {
      rule_id: rule.id,
      url: rule.url.href,
      room: rule.room,
      channel: rule.channel,
      owner: rule.ownerName,
      timeout_seconds: rule.timeoutSeconds,
      durable: rule.durable,
      signed: rule.key !== null,
      created_at: rule.createdAt,
      queued: this.queue.length,
      ...counts,
      dead_letters: this.deadLetters.size,
    };
  }

  /** One request, once its destination has a place for it. */
  private async post(delivery: Delivery, stop: AbortSignal): Promise<AttemptOutcome> {
    const { slots, requester } = this.parts;
    const release = await slots.acquire(this.rule.url, stop);
    if (release === null) return NOT_MADE;
    try {
      // While it waited, the owner's token may have been narrowed or have expired.
      if (this.owner.isOver() || !this.mayRead(delivery.room, delivery.channel)) return NOT_ALLOWED;
      return await attempt(requester, this.rule, delivery, stop);
    } finally {
      release();
    }
  }

  private delivered(delivery: Delivery): void {
    this.counts.delivered += 1;
    this.parts.totals.delivered += 1;
    void this.claim(delivery);
  }

  private failed(delivery: Delivery, { status, error }: AttemptFailure, final: boolean): void {
    const { totals, tell, requester } = this.parts;
    tell(this.rule, { deliveryId: delivery.id, attempt: delivery.attempts, status, error, willRetry: !final });
    if (!final) {
      totals.retried += 1;
      return;
    }
    this.counts.failed += 1;
    totals.failed += 1;
    void this.deadLetters.add(failedDelivery(delivery, error, requester.clock.now()));
    void this.claim(delivery);
  }

  private dropped(count: number, first: boolean): void {
    this.counts.dropped += count;
    this.parts.totals.dropped += count;
    // A full queue drops one for each event that comes; telling of every one would be a flood of its own.
    if (!first) return;
    this.parts.tell(this.rule, { deliveryId: null, attempt: 0, status: null, error: 'queue full', willRetry: false });
  }

  /** When the claim cannot be asked for, a delivery made twice is better than none: receivers know it by its id. */
  private async claim({ id }: Delivery): Promise<boolean> {
    const { claim, onFault } = this.parts;
    if (claim === null || !this.rule.durable) return true;
    try {
      return await claim(`webhook ${id}`);
    } catch (error) {
      onFault(error);
      return true;
    }
  }
}
