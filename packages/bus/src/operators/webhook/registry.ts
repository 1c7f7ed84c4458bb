import type { StreamEvent } from '../../engine/engine.ts';
import type { ActiveRule } from './active-rule.ts';

interface TenantRules {
  readonly byId: Map<string, ActiveRule>;
  readonly byRoom: Map<string, Set<ActiveRule>>;
  /** Rules of all rooms. */
  readonly everywhere: Set<ActiveRule>;
}

/** This node's rules, found by id within a tenant and by the address of an event. No look-up crosses tenants. */
export class Registry {
  private readonly tenants: Map<string, TenantRules> = new Map();
  size = 0;

  add(active: ActiveRule): void {
    const { id, tenant, room } = active.rule;
    let rules = this.tenants.get(tenant);
    if (rules === undefined) {
      rules = { byId: new Map(), byRoom: new Map(), everywhere: new Set() };
      this.tenants.set(tenant, rules);
    }
    rules.byId.set(id, active);
    this.size += 1;
    if (room === null) {
      rules.everywhere.add(active);
      return;
    }
    const sharing = rules.byRoom.get(room);
    if (sharing === undefined) rules.byRoom.set(room, new Set([active]));
    else sharing.add(active);
  }

  /** Takes a rule out; false when it was not in. */
  remove({ rule }: ActiveRule): boolean {
    const rules = this.tenants.get(rule.tenant);
    const active = rules?.byId.get(rule.id);
    if (rules === undefined || active === undefined) return false;
    rules.byId.delete(rule.id);
    this.size -= 1;
    rules.everywhere.delete(active);
    if (rule.room !== null) {
      const sharing = rules.byRoom.get(rule.room);
      sharing?.delete(active);
      if (sharing?.size === 0) rules.byRoom.delete(rule.room);
    }
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

  count(tenant: string): number {
    return this.tenants.get(tenant)?.byId.size ?? 0;
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
