import { BusError, type DeadLetter, type Envelope, type JsonObject, type WebhookRule } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { Consumed, HostedConsumer, HostedGroup } from '../../consumers/consumer.ts';
import type { ListedLetter } from '../../consumers/dead-letters.ts';
import type { Action, Principal } from '../../principal.ts';
import { atMost } from '../../timers.ts';
import type { Owner } from '../owner.ts';
import { type AttemptOutcome, attempt, type Requester, retryDelay } from './attempt.ts';
import { Delivery, deliveryId } from './delivery.ts';
import type { HostSlots } from './host-slots.ts';
import type { Rule } from './rule.ts';
import type { Teller } from './teller.ts';

/** Dead letters read at a time. */
const LETTERS = 100;
/** Prefix of the page cursor for lifecycle dead letters, in a rule that reports messages too. */
const SECOND = '+';
/** How long a registration waits for the rule to be active on this node, in milliseconds. */
const BEGIN_MS = 2_000;

const NOT_ALLOWED: AttemptFailure = {
  ok: false,
  status: null,
  error: "the owner's grants do not cover this any more",
  retryable: false,
};

type AttemptFailure = Extract<AttemptOutcome, { ok: false }>;

/** Outcomes of deliveries, and the number of repeated requests, since the start. */
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
  /** Totals over all rules. */
  readonly totals: DeliveryCounts;
  /** Reports a failed request or lost deliveries; contains no secrets. */
  readonly tell: (rule: Rule, what: FailureReport) => void;
  /** Ends a rule whose owner's token has expired; returns whether it has. */
  readonly hasExpired: (active: ActiveRule) => boolean;
}

export interface FailureReport {
  readonly deliveryId: string | null;
  readonly attempt: number;
  readonly status: number | null;
  readonly error: string;
  readonly willRetry: boolean;
}

/** An active rule: the only consumer of its groups, which posts each event and answers for it. */
export class ActiveRule {
  readonly rule: Rule;
  readonly owner: Owner;
  private readonly parts: ActiveRuleParts;
  /** For messages, for lifecycle events, or for both. */
  private readonly groups: readonly HostedGroup[];
  private readonly teller: Teller | null;
  /** Aborted when no more requests may begin. */
  private readonly ending = new AbortController();
  /** Aborts the running request. */
  private readonly cutting = new AbortController();
  private posting: Promise<void> | null = null;
  private readonly counts = { delivered: 0, failed: 0, dropped: 0 };

  /**
   * @param teller set when the rule reports lifecycle events
   * @param host creates a group of the rule with its consumer
   */
  constructor(
    rule: Rule,
    owner: Owner,
    parts: ActiveRuleParts,
    teller: Teller | null,
    host: (kind: 'messages' | 'lifecycle', consumer: HostedConsumer) => HostedGroup,
  ) {
    this.rule = rule;
    this.owner = owner;
    this.parts = parts;
    this.teller = teller;
    const consumer = {
      handle: (consumed: Consumed) => this.take(consumed),
      onLost: (count: number) => this.lost(count),
    };
    const groups: HostedGroup[] = [];
    if (rule.on.includes('message')) groups.push(host('messages', consumer));
    if (teller !== null) {
      const onDriving = (isDriving: boolean): void => (isDriving ? teller.start() : teller.stop());
      groups.push(host('lifecycle', { ...consumer, onDriving }));
    }
    this.groups = groups;
  }

  /** Resolves when no later event is missed, if this node is responsible for that. */
  async begun(): Promise<void> {
    if (this.teller !== null) await atMost(BEGIN_MS, this.teller.begun);
  }

  /** Whether the owner may receive this now. Checked for each event when it is posted. */
  private mayRead({ type, room, channel }: Subject): boolean {
    return this.parts.access.may(this.owner.current(), actionFor(type), room, channel);
  }

  /** Begins no more requests and waits for the running one until `grace` ends; the rule's stored data is kept. */
  async stop(grace: Promise<void>): Promise<void> {
    this.ending.abort();
    this.teller?.stop();
    for (const group of this.groups) group.rest();
    await Promise.race([this.posting, grace]);
    this.cutting.abort();
    await Promise.all(this.groups.map((group) => group.end()));
  }

  /** Aborts the running request; the rule's stored data is kept. */
  async cancel(): Promise<void> {
    this.ending.abort();
    this.cutting.abort();
    this.teller?.stop();
    await Promise.all(this.groups.map((group) => group.end()));
    // Waiting events of a rule that is not durable will never be read.
    if (!this.rule.durable) await this.teller?.forget();
  }

  /** Removes the rule with all waiting events and its dead letters. */
  async forget(): Promise<void> {
    this.ending.abort();
    this.cutting.abort();
    await Promise.all(this.groups.map((group) => group.forget()));
    await this.teller?.forget();
  }

  /** A page of the dead letters whose place `reader` may read, oldest first. */
  async deadLetters(
    reader: Principal,
    limit: number,
    after: string | undefined,
  ): Promise<{ letters: DeadLetter[]; next: string | null }> {
    const letters: DeadLetter[] = [];
    // A cursor with this prefix belongs to the second group's letters.
    let isSecond = after?.startsWith(SECOND) === true;
    for (let from = isSecond ? after?.slice(SECOND.length) : after; ; ) {
      const group = this.groups[isSecond ? 1 : 0];
      const page = await group?.deadLetters(limit, from === '' ? undefined : from);
      for (const letter of page?.letters ?? []) {
        const { type, room, channel } = subjectOf(letter.text);
        if (this.parts.access.may(reader, actionFor(type), room, channel)) letters.push(this.shown(letter));
      }
      const isLast = (page?.next ?? null) === null;
      if (isLast && (isSecond || this.groups.length < 2)) return { letters, next: null };
      isSecond = isSecond || isLast;
      from = page?.next ?? '';
      // One page of a group fits one response.
      if (letters.length > 0) return { letters, next: isSecond ? `${SECOND}${from}` : from };
    }
  }

  /** Redelivers all dead letters, or the one with that id. Returns their number. Throws NOT_FOUND for an unknown id. */
  async retry(id: string | undefined): Promise<number> {
    let isThere = false;
    let count = 0;
    for (const group of this.groups) {
      const keys: string[] = [];
      for (let after: string | undefined; ; ) {
        const { letters, next } = await group.deadLetters(LETTERS, after);
        for (const { key, text } of letters) {
          if (id !== undefined && deliveryId(this.rule.id, text) !== id) continue;
          isThere = true;
          if (this.mayRead(subjectOf(text))) keys.push(key);
        }
        if (next === null) break;
        after = next;
      }
      count += await group.retry(keys);
    }
    if (id !== undefined && !isThere) {
      throw new BusError('NOT_FOUND', 'This rule has no dead letter of that delivery_id.', { delivery_id: id });
    }
    return count;
  }

  /** As shown by commands: without headers and secret. */
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
      on: [...rule.on],
      created_at: rule.createdAt,
      queued: sum(this.groups, (group) => group.waiting()),
      ...counts,
      dead_letters: sum(this.groups, (group) => group.deadLetterCount()),
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

  /** One request at a time, even when both groups have something to post. */
  private take(consumed: Consumed): Promise<void> {
    const { posting: before } = this;
    const begun = before === null ? this.post(consumed) : before.catch(() => {}).then(() => this.post(consumed));
    const posting = begun.finally(() => {
      if (this.posting === posting) this.posting = null;
    });
    this.posting = posting;
    return posting;
  }

  /** Posts one event, once its destination has a free slot, and answers for it. */
  private async post(consumed: Consumed): Promise<void> {
    const { timestamp } = JSON.parse(consumed.text) as Envelope;
    const subject = subjectOf(consumed.text);
    // Telemetry shares the streams but is not for webhooks: a failing webhook would receive its own failures.
    if (subject.type !== 'event' && subject.type !== 'system') {
      await consumed.ack();
      return;
    }
    const { slots, requester } = this.parts;
    const release = await slots.acquire(this.rule.url, this.ending.signal);
    // Unanswered events are redelivered, here or on another node.
    if (release === null) return;
    let outcome: AttemptOutcome;
    const delivery = new Delivery(this.rule.id, consumed.text, consumed.attempt);
    try {
      if (this.parts.hasExpired(this)) return;
      if (this.mayRead(subject)) outcome = await attempt(requester, this.rule, delivery, this.cutting.signal);
      // Events before the last change of rights fail; the owner never had access to later ones.
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

  /** Events were dropped before they could be posted. */
  lost(count: number, error = 'history dropped events that waited'): void {
    this.counts.dropped += count;
    this.parts.totals.dropped += count;
    this.parts.tell(this.rule, { deliveryId: null, attempt: 0, status: null, error, willRetry: false });
  }
}

/** The subject of an envelope. */
interface Subject {
  readonly type: string;
  readonly room: string;
  readonly channel: string;
}

function subjectOf(text: string): Subject {
  const { type, room = '', channel = '' } = JSON.parse(text) as Envelope;
  return { type, room, channel };
}

/** The action that the owner must be allowed there. */
function actionFor(type: string): Action {
  return type === 'system' ? 'presence' : 'subscribe';
}

function sum(groups: readonly HostedGroup[], figure: (group: HostedGroup) => number): number {
  return groups.reduce((total, group) => total + figure(group), 0);
}
