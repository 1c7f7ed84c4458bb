import { WILDCARD } from '@arqonbus/protocol';
import type { Session } from '../../connection/session.ts';
import type { NodeLeases } from '../../consumers/leases-of-nodes.ts';
import type { Core } from '../../core.ts';
import type { StreamEvent } from '../../engine/engine.ts';
import type { Principal } from '../../principal.ts';
import { Owner } from '../owner.ts';
import { ActiveRule, type ActiveRuleParts } from './active-rule.ts';
import { DeadLetters, KeyValueDeadLetters } from './dead-letters.ts';
import { Delivery } from './delivery.ts';
import type { Rule, RuleStore } from './rule.ts';

/** The key of a tenant's lease: whoever has it posts for all durable rules of the tenant. */
const POSTING = 'posting';

/** The rules at work on this node: begins and ends them, and hands them the events that they match. */
export class ActiveRules {
  readonly registry: Registry = new Registry();
  private readonly bus: Core;
  private readonly store: RuleStore;
  /** Null where this node is the only one. */
  private readonly leases: NodeLeases | null;
  private readonly parts: ActiveRuleParts;
  private untap: (() => void) | null = null;
  /** Rules that ended with their owner's token, since the start. */
  expired = 0;

  constructor(bus: Core, store: RuleStore, leases: NodeLeases | null, parts: ActiveRuleParts) {
    this.bus = bus;
    this.store = store;
    this.leases = leases;
    this.parts = parts;
  }

  /** Begins a rule. The caller has seen to it (`bus.interest`) that the rule's events reach this node. */
  activate(rule: Rule, principal: Principal, session: Session | null): ActiveRule {
    const { bus, leases, store } = this;
    const { onFault } = bus.options;
    const { tenant, owner: identity } = rule;
    const owner = new Owner(bus, {
      tenant,
      identity,
      principal,
      session,
      durable: rule.durable,
      onChange: (renewed) => {
        if (rule.durable) store.save({ rule, principal: renewed }).catch(onFault);
      },
    });
    const deadLetters = new DeadLetters(rule.durable ? new KeyValueDeadLetters(bus.engine.store, rule) : null, onFault);
    const active = new ActiveRule(rule, owner, deadLetters, this.parts);
    this.registry.add(active);
    if (rule.durable) leases?.want(rule.tenant, POSTING);
    this.untap ??= bus.hub.tap(this.take);
    return active;
  }

  /** Ends a rule for good, on all nodes: with all that waits for it and its dead letters. */
  async remove(active: ActiveRule): Promise<void> {
    const { rule } = active;
    this.discard(active);
    if (!rule.durable) return;
    await this.store.remove(rule);
    await new KeyValueDeadLetters(this.bus.engine.store, rule).clear();
  }

  /** Ends a rule whose owner's token has expired; answers whether it has. */
  hasExpired(active: ActiveRule): boolean {
    if (!active.owner.isOver()) return false;
    this.expired += 1;
    this.remove(active).catch(this.bus.options.onFault);
    return true;
  }

  /** Ends a rule with all that waits for it; what the store holds of it stays. Idempotent. */
  discard(active: ActiveRule): void {
    if (!this.registry.remove(active)) return;
    const { rule, queue } = active;
    queue.cancel();
    this.bus.interest.remove(rule.tenant, rule.room ?? WILDCARD);
    if (rule.durable && this.durableOf(rule.tenant).length === 0) void this.leases?.release(rule.tenant, POSTING);
    if (this.registry.size === 0) this.close();
  }

  durableOf(tenant: string): ActiveRule[] {
    return this.registry.ofTenant(tenant).filter(({ rule }) => rule.durable);
  }

  /** The owner's last connection has gone: its rules go too, but for durable ones, which keep its last grants. */
  ownerLeft(tenant: string, owner: string): void {
    for (const active of this.registry.ofOwner(tenant, owner)) {
      if (active.rule.durable) active.owner.current();
      else this.discard(active);
    }
  }

  /** Takes no more events. */
  close(): void {
    this.untap?.();
    this.untap = null;
  }

  /** Sees every event of this node. Neither throws nor waits. */
  private readonly take = (event: StreamEvent): void => {
    if (!isOfTypeEvent(event)) return;
    const { room, channel } = event.stream;
    this.registry.match(event, (active) => {
      const { rule } = active;
      if (this.hasExpired(active) || !active.mayRead(room, channel)) return;
      const posting = !rule.durable || this.leases === null || this.leases.holds(rule.tenant, POSTING);
      active.accept(Delivery.of(rule.id, event, this.parts.requester.clock.steady()), posting);
    });
  };
}

const BEFORE_ID = '{"version":"1.0","id":"'.length;

/** Telemetry shares the streams and is not for webhooks: a failing one would feed itself with its own failures. */
function isOfTypeEvent({ id, text }: StreamEvent): boolean {
  return text.startsWith('","type":"event",', BEFORE_ID + id.length);
}

interface TenantRules {
  readonly byId: Map<string, ActiveRule>;
  readonly byRoom: Map<string, Set<ActiveRule>>;
  readonly byOwner: Map<string, Set<ActiveRule>>;
  /** Rules of all rooms. */
  readonly everywhere: Set<ActiveRule>;
}

/** This node's rules, found by id within a tenant and by the address of an event. No look-up crosses tenants. */
export class Registry {
  private readonly tenants: Map<string, TenantRules> = new Map();
  size = 0;

  add(active: ActiveRule): void {
    const { id, tenant, room, owner } = active.rule;
    let rules = this.tenants.get(tenant);
    if (rules === undefined) {
      rules = { byId: new Map(), byRoom: new Map(), byOwner: new Map(), everywhere: new Set() };
      this.tenants.set(tenant, rules);
    }
    rules.byId.set(id, active);
    this.size += 1;
    addTo(rules.byOwner, owner, active);
    if (room === null) rules.everywhere.add(active);
    else addTo(rules.byRoom, room, active);
  }

  /** Takes a rule out; false when it was not in. */
  remove({ rule }: ActiveRule): boolean {
    const rules = this.tenants.get(rule.tenant);
    const active = rules?.byId.get(rule.id);
    if (rules === undefined || active === undefined) return false;
    rules.byId.delete(rule.id);
    this.size -= 1;
    rules.everywhere.delete(active);
    removeFrom(rules.byOwner, rule.owner, active);
    if (rule.room !== null) removeFrom(rules.byRoom, rule.room, active);
    if (rules.byId.size === 0) this.tenants.delete(rule.tenant);
    return true;
  }

  find(tenant: string, id: string): ActiveRule | undefined {
    return this.tenants.get(tenant)?.byId.get(id);
  }

  /** The rules of a tenant, in the order registered. */
  ofTenant(tenant: string): ActiveRule[] {
    return [...(this.tenants.get(tenant)?.byId.values() ?? [])];
  }

  /** Those of one owner in a tenant. */
  ofOwner(tenant: string, owner: string): ActiveRule[] {
    return [...(this.tenants.get(tenant)?.byOwner.get(owner) ?? [])];
  }

  all(): ActiveRule[] {
    return [...this.tenants.keys()].flatMap((tenant) => this.ofTenant(tenant));
  }

  /** Visits the rules whose room and channel an event has. On the path of every publish. */
  match({ stream }: StreamEvent, visit: (active: ActiveRule) => void): void {
    const rules = this.tenants.get(stream.tenant);
    if (rules === undefined) return;
    for (const active of rules.everywhere) visit(active);
    const sharing = rules.byRoom.get(stream.room);
    if (sharing === undefined) return;
    for (const active of sharing) {
      if (active.rule.channel === null || active.rule.channel === stream.channel) visit(active);
    }
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
