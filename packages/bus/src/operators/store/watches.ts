import { BusError } from '@arqonbus/protocol';
import type { Session } from '../../connection/session.ts';

/** Watches of one connection. */
const MAX_WATCHES = 100;

interface Watch {
  readonly session: Session;
  readonly prefix: string;
}

/** Who wants to know of changes under which prefix, by tenant and namespace. */
export class Watches {
  private readonly byNamespace: Map<string, Watch[]> = new Map();
  private readonly bySession: Map<Session, Set<string>> = new Map();

  /** Adds a watch; one that is there already stays one. Throws LIMIT_EXCEEDED beyond 100 of a connection. */
  add(session: Session, namespace: string, prefix: string): void {
    const key = keyOf(session.principal.tenant, namespace);
    const watches = this.byNamespace.get(key) ?? [];
    if (watches.some((watch) => watch.session === session && watch.prefix === prefix)) return;
    if (this.count(session) >= MAX_WATCHES) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A connection holds at most ${MAX_WATCHES} watches; end some with unwatch.`,
        {
          limit: MAX_WATCHES,
        },
      );
    }
    this.byNamespace.set(key, [...watches, { session, prefix }]);
    const namespaces = this.bySession.get(session);
    if (namespaces === undefined) this.bySession.set(session, new Set([key]));
    else namespaces.add(key);
  }

  /** Ends one watch, or without a prefix all of the namespace; false when there was none. */
  remove(session: Session, namespace: string, prefix: string | undefined): boolean {
    const key = keyOf(session.principal.tenant, namespace);
    const isMeant = (watch: Watch): boolean =>
      watch.session === session && (prefix === undefined || watch.prefix === prefix);
    const watches = this.byNamespace.get(key) ?? [];
    const left = watches.filter((watch) => !isMeant(watch));
    if (left.length === 0) this.byNamespace.delete(key);
    else this.byNamespace.set(key, left);
    if (!left.some((watch) => watch.session === session)) this.bySession.get(session)?.delete(key);
    return left.length < watches.length;
  }

  /** Ends all watches of a connection that has gone. */
  forget(session: Session): void {
    for (const key of this.bySession.get(session) ?? []) {
      const left = (this.byNamespace.get(key) ?? []).filter((watch) => watch.session !== session);
      if (left.length === 0) this.byNamespace.delete(key);
      else this.byNamespace.set(key, left);
    }
    this.bySession.delete(session);
  }

  /** Connections that watch a key, each once. */
  of(tenant: string, namespace: string, key: string): Set<Session> {
    const watching = new Set<Session>();
    for (const { session, prefix } of this.byNamespace.get(keyOf(tenant, namespace)) ?? []) {
      if (key.startsWith(prefix)) watching.add(session);
    }
    return watching;
  }

  private count(session: Session): number {
    let count = 0;
    for (const key of this.bySession.get(session) ?? []) {
      for (const watch of this.byNamespace.get(key) ?? []) if (watch.session === session) count += 1;
    }
    return count;
  }
}

/** Tenants hold no slash, so that no namespace can spell another tenant's. */
function keyOf(tenant: string, namespace: string): string {
  return `${tenant}/${namespace}`;
}
