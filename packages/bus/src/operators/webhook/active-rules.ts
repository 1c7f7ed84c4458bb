import { type Position, WILDCARD } from '@arqonbus/protocol';
import type { Session } from '../../connection/session.ts';
import { type GroupRecord, settingsOf } from '../../consumers/group.ts';
import type { Core } from '../../core.ts';
import type { Principal } from '../../principal.ts';
import { Owner } from '../owner.ts';
import { ActiveRule, type ActiveRuleParts } from './active-rule.ts';
import { Facts } from './facts.ts';
import { lifecycleStream } from './lifecycle.ts';
import type { Rule, RuleStore } from './rule.ts';
import { Teller } from './teller.ts';

/** Long enough never to end: a rule always answers for its request, and limits its time itself. */
const ACK_WAIT_SECONDS = 86_400;

/** Start positions of a rule's group, by stream. */
export type Begin = Readonly<Record<string, Position>>;

/** Starts and ends the rules of this node. */
export class ActiveRules {
  readonly registry: Registry = new Registry();
  private readonly bus: Core;
  private readonly store: RuleStore;
  private readonly parts: Omit<ActiveRuleParts, 'hasExpired'>;
  /** Rules that ended with their owner's token, since the start. */
  expired = 0;

  constructor(bus: Core, store: RuleStore, parts: Omit<ActiveRuleParts, 'hasExpired'>) {
    this.bus = bus;
    this.store = store;
    this.parts = parts;
  }

  /** Starts a rule: it posts what comes after `begin`, or what an earlier run left. */
  activate(rule: Rule, begin: Begin, principal: Principal, session: Session | null): ActiveRule {
    const { bus, store } = this;
    const { onFault } = bus.options;
    const { tenant, owner: identity, durable } = rule;
    const owner = new Owner(bus, {
      tenant,
      identity,
      principal,
      session,
      durable,
      onChange: (renewed) => {
        if (durable) store.save({ rule, begin, principal: renewed }).catch(onFault);
      },
    });
    const parts = { ...this.parts, hasExpired: (active: ActiveRule) => this.hasExpired(active) };
    const teller = this.tellerOf(rule);
    const active = new ActiveRule(rule, owner, parts, teller, (kind, consumer) => {
      const record = kind === 'messages' ? this.groupOf(rule, begin) : this.lifecycleGroupOf(rule);
      return bus.groups.host(tenant, record, durable, consumer);
    });
    this.registry.add(active);
    return active;
  }

  /** Reports lifecycle events, if the rule wants them. */
  private tellerOf({ id, tenant, room, channel, durable, createdAt, on }: Rule): Teller | null {
    const events = new Set(on.filter((one) => one !== 'message'));
    if (events.size === 0) return null;
    const { engine, rosters, options } = this.bus;
    return new Teller(
      { ruleId: id, tenant, room, channel, events, since: Date.parse(createdAt) },
      {
        follow: (followed, listener) => rosters.attendance.follow(followed, listener),
        broker: engine.broker,
        facts: durable ? new Facts(engine.store, tenant, id) : null,
        clock: this.parts.requester.clock,
        graceMs: options.presenceGraceMs,
        onLost: (count) => this.registry.find(tenant, id)?.lost(count, 'too much happened to be told in time'),
        onFault: options.onFault,
      },
    );
  }

  /** Removes a rule on all nodes, with all waiting events and its dead letters. */
  async remove(active: ActiveRule): Promise<void> {
    const { rule } = active;
    if (rule.durable) await this.store.remove(rule);
    this.registry.remove(active);
    await active.forget();
  }

  /** Ends a rule whose owner's token has expired; returns whether it has. */
  hasExpired(active: ActiveRule): boolean {
    if (!active.owner.isOver()) return false;
    this.expired += 1;
    this.remove(active).catch(this.bus.options.onFault);
    return true;
  }

  /** Ends a rule on this node; its data in the store is kept. Idempotent. */
  discard(active: ActiveRule): void {
    if (this.registry.remove(active)) active.cancel().catch(this.bus.options.onFault);
  }

  /** The owner's last connection has closed: ends its rules, except durable ones, which keep its last grants. */
  ownerLeft(tenant: string, owner: string): void {
    for (const active of this.registry.ofOwner(tenant, owner)) {
      if (active.rule.durable) active.owner.current();
      else this.discard(active);
    }
  }

  /** Lifecycle events wait in a stream of the rule's own. */
  private lifecycleGroupOf(rule: Rule): GroupRecord {
    const { room, channel } = lifecycleStream(rule.tenant, rule.id);
    return { ...this.groupOf(rule, {}), group_id: `${rule.id}_lifecycle`, room, channel };
  }

  /** One event at a time, in order: the next one once the previous one is posted or a dead letter. */
  private groupOf({ id, room, channel, owner, createdAt }: Rule, begin: Begin): GroupRecord {
    return {
      group_id: id,
      room: room ?? WILDCARD,
      channel: channel ?? WILDCARD,
      // A name that clients cannot give to a group.
      group: `webhook ${id}`,
      settings: settingsOf({
        ack_wait_seconds: ACK_WAIT_SECONDS,
        max_attempts: this.parts.maxAttempts,
        max_unacked: 1,
      }),
      paused: false,
      owner,
      created_at: Date.parse(createdAt),
      isInternal: true,
      begin,
    };
  }
}

interface TenantRules {
  readonly byId: Map<string, ActiveRule>;
  readonly byOwner: Map<string, Set<ActiveRule>>;
}

/** This node's rules by id and by owner, within a tenant. No lookup crosses tenants. */
export class Registry {
  private readonly tenants: Map<string, TenantRules> = new Map();
  size = 0;

  add(active: ActiveRule): void {
    const { id, tenant, owner } = active.rule;
    let rules = this.tenants.get(tenant);
    if (rules === undefined) {
      rules = { byId: new Map(), byOwner: new Map() };
      this.tenants.set(tenant, rules);
    }
    rules.byId.set(id, active);
    this.size += 1;
    addTo(rules.byOwner, owner, active);
  }

  /** Removes a rule; false when it was not there. */
  remove({ rule }: ActiveRule): boolean {
    const rules = this.tenants.get(rule.tenant);
    const active = rules?.byId.get(rule.id);
    if (rules === undefined || active === undefined) return false;
    rules.byId.delete(rule.id);
    this.size -= 1;
    removeFrom(rules.byOwner, rule.owner, active);
    if (rules.byId.size === 0) this.tenants.delete(rule.tenant);
    return true;
  }

  find(tenant: string, id: string): ActiveRule | undefined {
    return this.tenants.get(tenant)?.byId.get(id);
  }

  /** The rules of a tenant, in the order of registration. */
  ofTenant(tenant: string): ActiveRule[] {
    return [...(this.tenants.get(tenant)?.byId.values() ?? [])];
  }

  /** The rules of one owner in a tenant. */
  ofOwner(tenant: string, owner: string): ActiveRule[] {
    return [...(this.tenants.get(tenant)?.byOwner.get(owner) ?? [])];
  }

  all(): ActiveRule[] {
    return [...this.tenants.keys()].flatMap((tenant) => this.ofTenant(tenant));
  }
}

function addTo(sets: Map<string, Set<ActiveRule>>, key: string, active: ActiveRule): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([active]));
  else set.add(active);
}

function removeFrom(sets: Map<string, Set<ActiveRule>>, key: string, active: ActiveRule): void {
  const set = sets.get(key);
  set?.delete(active);
  if (set?.size === 0) sets.delete(key);
}
