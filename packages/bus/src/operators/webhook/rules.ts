import { BusError, WILDCARD } from '@arqonbus/protocol';
import type { Bus } from '../../bus.ts';
import type { Sender } from '../../connection/session.ts';
import { hasRole, type Principal } from '../../principal.ts';
import type { Clock } from '../clock.ts';
import type { ActiveRule } from './active-rule.ts';
import type { ActiveRules } from './active-rules.ts';
import { KeyValueDeadLetters } from './dead-letters.ts';
import type { HostTest } from './destination.ts';
import { type Registration, ruleOf } from './registration.ts';
import type { Rule, RuleStore } from './rule.ts';

export interface RuleLimits {
  readonly maxRules: number;
  readonly allowed: HostTest;
  readonly clock: Clock;
}

/** Where rules are registered, looked up on somebody's behalf, and given up. Everything is inside the sender's tenant. */
export class WebhookRules {
  private readonly bus: Bus;
  private readonly active: ActiveRules;
  private readonly store: RuleStore;
  private readonly rules: RuleLimits;
  /** Rules that are being registered, with their tenants: they count, and the store's news of them is no news. */
  private readonly underway: Map<string, string> = new Map();

  constructor(bus: Bus, active: ActiveRules, store: RuleStore, rules: RuleLimits) {
    this.bus = bus;
    this.active = active;
    this.store = store;
    this.rules = rules;
  }

  /** Throws VALIDATION_ERROR, AUTHORIZATION_ERROR, LIMIT_EXCEEDED. When it has answered, no later event is missed. */
  async register(sender: Sender, args: Registration): Promise<ActiveRule> {
    const { allowed, clock } = this.rules;
    const rule = ruleOf(args, sender, this.bus.access, allowed, clock.now());
    this.checkRoom(rule.tenant);
    this.checkOwner(rule, sender);
    const { interest } = this.bus;
    const room = rule.room ?? WILDCARD;
    this.underway.set(rule.id, rule.tenant);
    try {
      await interest.add(rule.tenant, room);
      // The owner may have gone while this waited, and nobody would remove its rule any more.
      this.checkOwner(rule, sender);
      if (rule.durable) await this.save(rule, sender.principal);
    } catch (error) {
      interest.remove(rule.tenant, room);
      throw error;
    } finally {
      this.underway.delete(rule.id);
    }
    return this.active.activate(rule, sender.principal, sender.session);
  }

  /** The sender's own rules; an admin's: those of the tenant. */
  visible({ principal, identity }: Sender): ActiveRule[] {
    const all = this.active.registry.ofTenant(principal.tenant);
    return hasRole(principal, 'admin') ? all : all.filter(({ rule }) => rule.owner === identity);
  }

  /** A rule that the sender may manage. Throws NOT_FOUND, or AUTHORIZATION_ERROR for another owner's. */
  manageable({ principal, identity }: Sender, ruleId: string): ActiveRule {
    const found = this.active.registry.find(principal.tenant, ruleId);
    if (found === undefined) throw new BusError('NOT_FOUND', 'There is no such webhook.', { rule_id: ruleId });
    if (found.rule.owner === identity || hasRole(principal, 'admin')) return found;
    throw new BusError('AUTHORIZATION_ERROR', "This webhook is somebody else's; its owner or an admin can do this.", {
      rule_id: ruleId,
    });
  }

  async unregister(found: ActiveRule): Promise<void> {
    const { rule } = found;
    if (rule.durable) await this.store.remove(rule);
    this.active.discard(found);
    if (rule.durable) await new KeyValueDeadLetters(this.bus.engine.store, rule).clear();
  }

  /** A durable rule of the store, from an earlier run or another node; or one whose owner's grants have changed. */
  async follow(rule: Rule, principal: Principal): Promise<ActiveRule | undefined> {
    const { bus, active } = this;
    const known = active.registry.find(rule.tenant, rule.id);
    known?.grants.replace(principal);
    if (known !== undefined || this.underway.has(rule.id)) return undefined;
    // Until a client of the tenant comes, nobody else makes it known to this node.
    bus.rooms.tenant(rule.tenant);
    const added = active.activate(rule, principal, null);
    try {
      await bus.interest.add(rule.tenant, rule.room ?? WILDCARD);
    } catch (error) {
      active.discard(added);
      throw error;
    }
    return added;
  }

  private async save(rule: Rule, principal: Principal): Promise<void> {
    const outcome = await this.store.save({ rule, principal }, this.rules.maxRules);
    if (!outcome.ok) throw this.full();
  }

  private checkRoom(tenant: string): void {
    let count = this.active.registry.count(tenant);
    for (const other of this.underway.values()) if (other === tenant) count += 1;
    if (count >= this.rules.maxRules) throw this.full();
  }

  /** A rule that goes with its owner's last connection needs one to begin with. */
  private checkOwner({ durable, tenant, owner }: Rule, { session }: Sender): void {
    if (durable) return;
    if (session === null ? this.bus.rooms.tenant(tenant).identities.has(owner) : !session.closed) return;
    throw new BusError(
      'VALIDATION_ERROR',
      'A webhook lives as long as its owner is connected; without a connection it must be durable.',
      { field: 'durable', expected: true },
    );
  }

  private full(): BusError {
    const { maxRules } = this.rules;
    return new BusError('LIMIT_EXCEEDED', `The tenant has ${maxRules} webhooks; unregister some first.`, {
      limit: maxRules,
    });
  }
}
