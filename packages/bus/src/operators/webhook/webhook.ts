import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from 'undici';
import { type Clock, systemClock } from '../../clock.ts';
import type { AnyCommand } from '../../commands/command.ts';
import type { Core } from '../../core.ts';
import { guardedAgent, hostTest, type Resolve } from '../../outbound/destination.ts';
import type { Operator } from '../operator.ts';
import type { Quota } from '../quota.ts';
import type { DeliveryCounts, FailureReport } from './active-rule.ts';
import { ActiveRules } from './active-rules.ts';
import { webhookCommands } from './commands.ts';
import { HostSlots } from './host-slots.ts';
import { type Rule, RuleStore } from './rule.ts';
import { WebhookRules } from './rules.ts';

export const DEFAULT_MAX_RULES = 200;
export const DEFAULT_MAX_RULES_PER_SUBJECT = 20;
export const DEFAULT_MAX_POSTS_PER_HOST = 8;

export interface WebhookOptions {
  /** Host names, globs and addresses that may be special (`ARQONBUS_WEBHOOK_ALLOW_HOSTS`). */
  readonly allowHosts: readonly string[];
  /** Rules of one tenant; default 200. */
  readonly maxRules?: number;
  /** Rules of one subject in a tenant; default 20. */
  readonly maxRulesPerSubject?: number;
  /** Concurrent requests to one host and port, over all rules; default 8. */
  readonly maxPostsPerHost?: number;
  /** Requests for one delivery. */
  readonly maxAttempts: number;
  /** Default: the system clock with the bus's time. */
  readonly clock?: Clock;
  /** From 0 to below 1; spreads retries. */
  readonly random?: () => number;
  /** Resolves host names instead of DNS. */
  readonly resolve?: Resolve;
}

/** The options that may change while the bus runs. */
type WebhookLimits = Pick<WebhookOptions, 'maxRules' | 'maxRulesPerSubject' | 'maxPostsPerHost'>;

export const DEFAULT_WEBHOOK_OPTIONS: WebhookOptions = { allowHosts: [], maxAttempts: 5 };

interface RuleCounts {
  /** Refused because of a quota. */
  readonly over_quota: number;
  /** Ended with their owner's token. */
  readonly expired: number;
}

/** The `op.webhook` commands and the deliveries behind them (OPERATORS). */
export interface WebhookOperator extends Operator {
  /** Totals over all rules since the start; `/metrics` reports them by outcome. */
  readonly outcomes: Readonly<DeliveryCounts>;
  /** Rules that were refused, or ended, since the start. */
  readonly counts: Readonly<RuleCounts>;
  /** Requests that wait because their host has reached its limit. */
  readonly waitingPosts: number;
  /** Rules on this node. */
  readonly ruleCount: number;
  /** Applies new limits to later registrations and requests. */
  adjust(limits: WebhookLimits): void;
}

export function createWebhookOperator(bus: Core, options: WebhookOptions): WebhookOperator {
  return new Webhooks(bus, options);
}

/** How long a stop waits for running requests, so that few are repeated. */
const GRACE_MS = 1_000;

class Webhooks implements WebhookOperator {
  readonly commands: readonly AnyCommand[];
  readonly outcomes: DeliveryCounts = { delivered: 0, retried: 0, failed: 0, dropped: 0 };
  private readonly bus: Core;
  private readonly agent: Agent;
  private readonly slots: HostSlots;
  private readonly quota: Quota;
  private readonly store: RuleStore;
  private readonly active: ActiveRules;
  private readonly rules: WebhookRules;
  private readonly undo: (() => void)[] = [];
  /** Rules that were removed while stored rules are being read. */
  private removed: Set<string> | null = null;

  constructor(bus: Core, options: WebhookOptions) {
    const { engine, options: busOptions } = bus;
    const { onFault, now, version } = busOptions;
    const { random = Math.random, clock = systemClock(now) } = options;
    const allowed = hostTest(options.allowHosts);
    this.bus = bus;
    this.agent = guardedAgent(allowed, options.resolve);
    this.store = new RuleStore(engine.store, onFault);
    this.slots = new HostSlots(options.maxPostsPerHost ?? DEFAULT_MAX_POSTS_PER_HOST);
    const parts = {
      slots: this.slots,
      access: bus.access,
      requester: { agent: this.agent, clock, userAgent: `ArqonBus/${version}` },
      random,
      maxAttempts: options.maxAttempts,
      totals: this.outcomes,
      tell: (rule: Rule, report: FailureReport) => this.tell(rule, report),
    };
    this.active = new ActiveRules(bus, this.store, parts);
    this.quota = quotaFrom(options);
    this.rules = new WebhookRules(bus, this.active, this.store, { quota: this.quota, allowed, clock });
    this.commands = webhookCommands(this.rules);
  }

  get counts(): RuleCounts {
    return { over_quota: this.rules.overQuota, expired: this.active.expired };
  }

  adjust(limits: WebhookLimits): void {
    Object.assign(this.quota, quotaFrom(limits));
    this.slots.max = limits.maxPostsPerHost ?? DEFAULT_MAX_POSTS_PER_HOST;
  }

  get waitingPosts(): number {
    return this.slots.waiting;
  }

  get ruleCount(): number {
    return this.active.registry.size;
  }

  start(): void {
    const { bus, active } = this;
    const ownerLeft = (tenant: string, identity: string): void => active.ownerLeft(tenant, identity);
    bus.ownerLeft.add(ownerLeft);
    const gone = (tenant: string, id: string): void => {
      this.removed?.add(id);
      this.rules.forget(tenant, id);
    };
    this.undo.push(
      () => bus.ownerLeft.delete(ownerLeft),
      this.store.watch((stored) => this.rules.follow(stored), gone),
    );
  }

  /** Starts stored rules that are not active yet, and ends those that are no longer in the store. */
  async load(): Promise<void> {
    const before = this.active.registry.all().filter(({ rule }) => rule.durable);
    this.removed = new Set();
    try {
      const stored = await this.store.load();
      const ids = new Set(stored.map(({ rule }) => rule.id));
      for (const one of before) if (!ids.has(one.rule.id)) this.active.discard(one);
      // Another node may have unregistered it meanwhile.
      for (const one of stored) if (!this.removed.has(one.rule.id)) this.rules.follow(one);
    } finally {
      this.removed = null;
    }
  }

  /** Begins no more requests and gives running ones a second. Events waiting for durable rules stay in their groups. */
  async stop(): Promise<void> {
    for (const undo of this.undo.splice(0)) undo();
    const grace = delay(GRACE_MS, undefined, { ref: false });
    const rules = this.active.registry.all();
    // Stores tokens that were renewed since the last event.
    for (const { rule, owner } of rules) if (rule.durable) owner.current();
    await Promise.all(rules.map((one) => one.stop(grace)));
    await this.agent.destroy();
  }

  private tell({ id, tenant, url }: Rule, { deliveryId, attempt, status, error, willRetry }: FailureReport): void {
    const payload = {
      rule_id: id,
      delivery_id: deliveryId,
      // The path and the query may contain secrets of the receiver.
      host: url.host,
      attempt,
      status,
      error,
      will_retry: willRetry,
    };
    this.bus.events.emit('webhook_failed', tenant, payload, willRetry ? 'warning' : 'error');
  }
}

function quotaFrom({ maxRules, maxRulesPerSubject }: WebhookLimits): Quota {
  return {
    things: 'webhooks',
    remedy: 'unregister some first, op.webhook.list shows them',
    perSubject: maxRulesPerSubject ?? DEFAULT_MAX_RULES_PER_SUBJECT,
    perTenant: maxRules ?? DEFAULT_MAX_RULES,
    subjectSetting: 'ARQONBUS_WEBHOOK_MAX_RULES_PER_SUBJECT',
    tenantSetting: 'ARQONBUS_WEBHOOK_MAX_RULES_PER_TENANT',
  };
}
