import { BusError, WILDCARD } from '@arqonbus/protocol';
import type { Clock } from '../../clock.ts';
import type { Sender } from '../../connection/session.ts';
import { startPositions } from '../../consumers/start.ts';
import type { Core } from '../../core.ts';
import type { QuotaLimit } from '../../engine/engine.ts';
import type { HostTest } from '../../outbound/destination.ts';
import { hasRole } from '../../principal.ts';
import { overQuota, type Quota } from '../quota.ts';
import type { ActiveRule } from './active-rule.ts';
import type { ActiveRules, Begin } from './active-rules.ts';
import { type Registration, ruleOf } from './registration.ts';
import type { Rule, RuleStore, StoredRule } from './rule.ts';

export interface RuleLimits {
  readonly quota: Quota;
  readonly allowed: HostTest;
  readonly clock: Clock;
}

/** Registers, finds and removes rules for callers, within the sender's tenant. */
export class WebhookRules {
  private readonly bus: Core;
  private readonly active: ActiveRules;
  private readonly store: RuleStore;
  private readonly limits: RuleLimits;
  /** Rules being started: they count towards the quota, and their changes in the store are ignored. */
  private readonly beginning: Map<string, Rule> = new Map();
  /** Rules refused because of a quota, since the start. */
  overQuota = 0;

  constructor(bus: Core, active: ActiveRules, store: RuleStore, limits: RuleLimits) {
    this.bus = bus;
    this.active = active;
    this.store = store;
    this.limits = limits;
  }

  /** Throws VALIDATION_ERROR, AUTHORIZATION_ERROR, LIMIT_EXCEEDED. Once it resolves, no later event is missed. */
  async register(sender: Sender, args: Registration): Promise<ActiveRule> {
    const { allowed, clock } = this.limits;
    const rule = ruleOf(args, sender, this.bus.access, allowed, clock.now());
    this.checkQuota(rule);
    this.checkOwner(rule, sender);
    const begun: { begin: Begin } = { begin: {} };
    await this.begin(rule, async () => {
      begun.begin = await this.beginOf(rule);
      // The owner may have gone during the wait, and then nothing would remove its rule.
      this.checkOwner(rule, sender);
      if (rule.durable) await this.save({ rule, principal: sender.principal, begin: begun.begin });
    });
    const active = this.active.activate(rule, begun.begin, sender.principal, sender.session);
    await active.begun();
    return active;
  }

  /** The sender's own rules; for an admin those of the tenant that its grants cover. */
  visible(sender: Sender): ActiveRule[] {
    const { registry } = this.active;
    const { principal, identity } = sender;
    const { tenant } = principal;
    const all = hasRole(principal, 'admin') ? registry.ofTenant(tenant) : registry.ofOwner(tenant, identity);
    return all.filter((active) => this.mayManage(sender, active) && !this.active.hasExpired(active));
  }

  /** A rule that the sender may manage. Throws NOT_FOUND, or AUTHORIZATION_ERROR for another owner's. */
  manageable(sender: Sender, ruleId: string): ActiveRule {
    const { principal } = sender;
    const found = this.active.registry.find(principal.tenant, ruleId);
    if (found === undefined || this.active.hasExpired(found)) {
      throw new BusError('NOT_FOUND', 'There is no such webhook; op.webhook.list shows yours.', { rule_id: ruleId });
    }
    if (this.mayManage(sender, found)) return found;
    throw new BusError('AUTHORIZATION_ERROR', "This webhook is somebody else's; its owner or an admin can do this.", {
      rule_id: ruleId,
    });
  }

  private mayManage({ principal, identity }: Sender, { rule: { owner, room, channel } }: ActiveRule): boolean {
    if (owner === identity) return true;
    const isAdmin = hasRole(principal, 'admin');
    return isAdmin && this.bus.access.may(principal, 'admin', room ?? WILDCARD, channel ?? WILDCARD);
  }

  /** Removes a rule with all waiting events. */
  remove(found: ActiveRule): Promise<void> {
    return this.active.remove(found);
  }

  /** Handles a stored durable rule of an earlier run or another node, or changed grants of its owner. */
  follow({ rule, principal, begin }: StoredRule): void {
    const known = this.active.registry.find(rule.tenant, rule.id);
    known?.owner.replace(principal);
    if (known !== undefined || this.beginning.has(rule.id)) return;
    this.active.activate(rule, begin, principal, null);
  }

  /** The rule was removed from the store: ends it here too. */
  forget(tenant: string, id: string): void {
    const found = this.active.registry.find(tenant, id);
    if (found !== undefined) this.active.discard(found);
  }

  /** Counts the rule towards the quota while `step` runs. */
  private async begin(rule: Rule, step: () => Promise<void>): Promise<void> {
    this.beginning.set(rule.id, rule);
    try {
      await step();
    } finally {
      this.beginning.delete(rule.id);
    }
  }

  /** The current positions of its streams. */
  private async beginOf({ id, tenant, room, channel, on }: Rule): Promise<Begin> {
    if (!on.includes('message')) return {};
    const place = { tenant, room: room ?? WILDCARD, channel: channel ?? WILDCARD, group: id };
    return startPositions(this.bus.engine.broker, place, 'new');
  }

  private async save(stored: StoredRule): Promise<void> {
    const outcome = await this.store.save(stored, this.limits.quota);
    if (!outcome.ok) throw this.full(outcome.reason === 'full' ? outcome.limit : 'tenant_keys');
  }

  private checkQuota({ tenant, owner }: Rule): void {
    const { perSubject, perTenant } = this.limits.quota;
    const { registry } = this.active;
    const isLive = (active: ActiveRule): boolean => !this.active.hasExpired(active);
    const soon = [...this.beginning.values()].filter((rule) => rule.tenant === tenant);
    const own = soon.filter((rule) => rule.owner === owner);
    if (registry.ofOwner(tenant, owner).filter(isLive).length + own.length >= perSubject) throw this.full('owner_keys');
    if (registry.ofTenant(tenant).filter(isLive).length + soon.length >= perTenant) throw this.full('tenant_keys');
  }

  /** A rule that ends with its owner's last connection requires one. */
  private checkOwner({ durable, tenant, owner }: Rule, { session }: Sender): void {
    if (durable) return;
    if (session === null ? this.bus.rooms.tenant(tenant).identities.has(owner) : !session.closed) return;
    throw new BusError(
      'VALIDATION_ERROR',
      'A webhook lives as long as its owner is connected; without a connection it must be durable.',
      { field: 'durable', expected: true },
    );
  }

  private full(reached: QuotaLimit): BusError {
    this.overQuota += 1;
    return overQuota(this.limits.quota, reached);
  }
}
