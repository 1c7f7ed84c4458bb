import { WILDCARD } from '@arqonbus/protocol';
import type { Session } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import type { StreamEvent } from '../../engine/engine.ts';
import type { Principal } from '../../principal.ts';
import { ActiveRule, type ActiveRuleParts } from './active-rule.ts';
import { DeadLetters } from './dead-letters.ts';
import { Delivery } from './delivery.ts';
import { KeptLetters } from './letter-store.ts';
import { OwnerGrants } from './owner-grants.ts';
import type { PostingLeases } from './posting-leases.ts';
import { Registry } from './registry.ts';
import type { Rule } from './rule.ts';
import type { RuleStore } from './rule-store.ts';

/** The rules at work on this node: begins and ends them, and hands them the events that they match. */
export class ActiveRules {
  readonly registry: Registry = new Registry();
  private readonly bus: Core;
  private readonly store: RuleStore;
  /** Null where this node is the only one. */
  private readonly leases: PostingLeases | null;
  private readonly parts: ActiveRuleParts;
  private untap: (() => void) | null = null;

  constructor(bus: Core, store: RuleStore, leases: PostingLeases | null, parts: ActiveRuleParts) {
    this.bus = bus;
    this.store = store;
    this.leases = leases;
    this.parts = parts;
  }

  /** Begins a rule. The caller has seen to it (`bus.interest`) that the rule's events reach this node. */
  activate(rule: Rule, principal: Principal, session: Session | null): ActiveRule {
    const { bus, leases, store } = this;
    const { onFault } = bus.options;
    const successor = (): Session | undefined => {
      if (rule.durable) return undefined;
      const [other] = bus.rooms.tenant(rule.tenant).identities.get(rule.owner) ?? [];
      return other;
    };
    const grants = new OwnerGrants(this.bus.access, principal, session, successor, (renewed) => {
      if (rule.durable) store.save({ rule, principal: renewed }).catch(onFault);
    });
    const letters = new DeadLetters(rule.durable ? new KeptLetters(bus.engine.store, rule) : null, onFault);
    const active = new ActiveRule(rule, grants, letters, this.parts);
    this.registry.add(active);
    if (rule.durable) leases?.want(rule.tenant);
    this.untap ??= bus.hub.tap(this.take);
    return active;
  }

  /** Ends a rule with all that waits for it; what the store holds of it stays. Idempotent. */
  discard(active: ActiveRule): void {
    if (!this.registry.remove(active)) return;
    const { rule, queue } = active;
    queue.cancel();
    this.bus.interest.remove(rule.tenant, rule.room ?? WILDCARD);
    if (rule.durable && this.durableOf(rule.tenant).length === 0) void this.leases?.release(rule.tenant);
    if (this.registry.size === 0) this.close();
  }

  durableOf(tenant: string): ActiveRule[] {
    return this.registry.ofTenant(tenant).filter(({ rule }) => rule.durable);
  }

  /** The owner's last connection has gone: its rules go too, but for durable ones, which keep its last grants. */
  ownerLeft(tenant: string, owner: string): void {
    for (const active of this.registry.ofTenant(tenant)) {
      if (active.rule.owner !== owner) continue;
      if (active.rule.durable) active.grants.current();
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
      const { rule, grants } = active;
      if (!grants.allow(room, channel)) return;
      const posting = !rule.durable || this.leases === null || this.leases.holds(rule.tenant);
      active.accept(Delivery.of(rule.id, event, this.parts.requester.clock.now()), posting);
    });
  };
}

const BEFORE_ID = '{"version":"1.0","id":"'.length;

/** Telemetry shares the streams and is not for webhooks: a failing one would feed itself with its own failures. */
function isOfTypeEvent({ id, text }: StreamEvent): boolean {
  return text.startsWith('","type":"event",', BEFORE_ID + id.length);
}
