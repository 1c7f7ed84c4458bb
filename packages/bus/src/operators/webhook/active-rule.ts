import { BusError, type DeadLetter, type Envelope, type JsonObject, type WebhookRule } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { Consumed, HostedConsumer, HostedGroup } from '../../consumers/consumer.ts';
import type { ListedLetter } from '../../consumers/dead-letters.ts';
import type { Principal } from '../../principal.ts';
import type { Owner } from '../owner.ts';
import { type AttemptOutcome, attempt, type Requester, retryDelay } from './attempt.ts';
import { Delivery, deliveryId } from './delivery.ts';
import type { HostSlots } from './host-slots.ts';
import type { Rule } from './rule.ts';

/** Dead letters that are looked through at a time. */
const LETTERS = 100;

const NOT_ALLOWED: AttemptFailure = {
  ok: false,
  status: null,
  error: "the owner's grants do not cover this any more",
  retryable: false,
};

type AttemptFailure = Extract<AttemptOutcome, { ok: false }>;

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
  /** Requests for one delivery before it becomes a dead letter. */
  readonly maxAttempts: number;
  /** The figures of all rules together. */
  readonly totals: DeliveryCounts;
  /** Tells that a request failed or deliveries were lost; nothing in it is secret. */
  readonly tell: (rule: Rule, what: FailureReport) => void;
  /** Ends a rule whose owner's token is over; answers whether it is. */
  readonly hasExpired: (active: ActiveRule) => boolean;
}

export interface FailureReport {
  readonly deliveryId: string | null;
  readonly attempt: number;
  readonly status: number | null;
  readonly error: string;
  readonly willRetry: boolean;
}

/** A rule at work: the one consumer of a group, which posts each event and answers for it. */
export class ActiveRule {
  readonly rule: Rule;
  readonly owner: Owner;
  private readonly parts: ActiveRuleParts;
  private readonly group: HostedGroup;
  /** No request is begun any more. */
  private readonly ending = new AbortController();
  /** The request under way is broken off. */
  private readonly cutting = new AbortController();
  private posting: Promise<void> | null = null;
  private readonly counts = { delivered: 0, failed: 0, dropped: 0 };

  /** @param host makes the rule's group with its consumer */
  constructor(rule: Rule, owner: Owner, parts: ActiveRuleParts, host: (consumer: HostedConsumer) => HostedGroup) {
    this.rule = rule;
    this.owner = owner;
    this.parts = parts;
    this.group = host({ handle: (consumed) => this.take(consumed), onLost: (count) => this.lost(count) });
  }

  /** Whether the owner may read there now. Asked for each event when it is to be posted. */
  mayRead(room: string, channel: string): boolean {
    return this.parts.access.may(this.owner.current(), 'subscribe', room, channel);
  }

  /** Begins no request any more and waits for the one under way, until `grace` is over; what is kept of it stays. */
  async stop(grace: Promise<void>): Promise<void> {
    this.ending.abort();
    this.group.rest();
    await Promise.race([this.posting, grace]);
    this.cutting.abort();
    await this.group.end();
  }

  /** Breaks off the request under way; what is kept of the rule stays. */
  async cancel(): Promise<void> {
    this.ending.abort();
    this.cutting.abort();
    await this.group.end();
  }

  /** The same, for good: with all that waits and the dead letters. */
  async forget(): Promise<void> {
    this.ending.abort();
    this.cutting.abort();
    await this.group.forget();
  }

  /** A page of the dead letters whose place `reader` may read, oldest first. */
  async deadLetters(
    reader: Principal,
    limit: number,
    after: string | undefined,
  ): Promise<{ letters: DeadLetter[]; next: string | null }> {
    const letters: DeadLetter[] = [];
    for (let from = after; ; ) {
      const page = await this.group.deadLetters(limit, from);
      for (const letter of page.letters) {
        const { room, channel } = placeOf(letter.text);
        if (this.parts.access.may(reader, 'subscribe', room, channel)) letters.push(this.shown(letter));
      }
      // What one page has fits one answer.
      if (page.next === null || letters.length > 0) return { letters, next: page.next };
      from = page.next;
    }
  }

  /**
   * Begins dead letters anew; all of them, or the one of that id. Answers how many. Throws NOT_FOUND for an id that is
   * not among them.
   */
  async retry(id: string | undefined): Promise<number> {
    const keys: string[] = [];
    let isThere = false;
    for (let after: string | undefined; ; ) {
      const { letters, next } = await this.group.deadLetters(LETTERS, after);
      for (const { key, text } of letters) {
        if (id !== undefined && deliveryId(this.rule.id, text) !== id) continue;
        isThere = true;
        const { room, channel } = placeOf(text);
        if (this.mayRead(room, channel)) keys.push(key);
      }
      if (next === null) break;
      after = next;
    }
    if (id !== undefined && !isThere) {
      throw new BusError('NOT_FOUND', 'This rule has no dead letter of that delivery_id.', { delivery_id: id });
    }
    return this.group.retry(keys);
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
      queued: this.group.waiting(),
      ...counts,
      dead_letters: this.group.deadLetterCount(),
    };
  }

  private shown({ text, attempts, reason, at }: ListedLetter): DeadLetter {
    return {
      delivery_id: deliveryId(this.rule.id, text),
      attempts,
      last_error: reason,
      failed_at: new Date(at).toISOString(),
      envelope: JSON.parse(text) as JsonObject,
    };
  }

  private take(consumed: Consumed): Promise<void> {
    const posting = this.post(consumed).finally(() => {
      if (this.posting === posting) this.posting = null;
    });
    this.posting = posting;
    return posting;
  }

  /** Posts one event, once its destination has a place for it, and answers for it. */
  private async post(consumed: Consumed): Promise<void> {
    const { type, room = '', channel = '', timestamp } = JSON.parse(consumed.text) as Envelope;
    // Telemetry shares the streams and is not for webhooks: a failing one would feed itself with its own failures.
    if (type !== 'event') {
      await consumed.ack();
      return;
    }
    const { slots, requester } = this.parts;
    const release = await slots.acquire(this.rule.url, this.ending.signal);
    // What is not answered for is handed out again, here or on another node.
    if (release === null) return;
    let outcome: AttemptOutcome;
    const delivery = new Delivery(this.rule.id, consumed.text, consumed.attempt);
    try {
      if (this.parts.hasExpired(this)) return;
      if (this.mayRead(room, channel)) outcome = await attempt(requester, this.rule, delivery, this.cutting.signal);
      // It was the owner's to read when it happened, or never was.
      else if (Date.parse(timestamp) <= this.owner.changedAt) outcome = NOT_ALLOWED;
      else {
        await consumed.ack();
        return;
      }
    } finally {
      release();
    }
    if (this.cutting.signal.aborted) return;
    await this.answer(consumed, delivery, outcome);
  }

  private async answer(consumed: Consumed, delivery: Delivery, outcome: AttemptOutcome): Promise<void> {
    const { totals, tell, random, maxAttempts } = this.parts;
    if (outcome.ok) {
      this.counts.delivered += 1;
      totals.delivered += 1;
      await consumed.ack();
      return;
    }
    const { status, error, retryable, retryAfterMs } = outcome;
    const willRetry = retryable && delivery.attempt < maxAttempts;
    tell(this.rule, { deliveryId: delivery.id, attempt: delivery.attempt, status, error, willRetry });
    if (willRetry) {
      totals.retried += 1;
      await consumed.nack(retryDelay(delivery.attempt, random(), retryAfterMs) / 1000, error);
      return;
    }
    this.counts.failed += 1;
    totals.failed += 1;
    await consumed.reject(error);
  }

  /** History dropped events before they could be posted. */
  private lost(count: number): void {
    this.counts.dropped += count;
    this.parts.totals.dropped += count;
    const error = 'history dropped events that waited';
    this.parts.tell(this.rule, { deliveryId: null, attempt: 0, status: null, error, willRetry: false });
  }
}

function placeOf(text: string): { room: string; channel: string } {
  const { room = '', channel = '' } = JSON.parse(text) as Envelope;
  return { room, channel };
}
