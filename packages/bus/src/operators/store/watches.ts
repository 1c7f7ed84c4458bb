import { BusError } from '@arqonbus/protocol';
import type { Session } from '../../connection/session.ts';

/** Maximum watches of one connection. */
const MAX_WATCHES = 100;

/** The watchers of a namespace by prefix. */
type Prefixes = Map<string, Set<Session>>;

/** Watchers of changes by tenant, namespace and prefix. */
export class Watches {
  private readonly byNamespace: Map<string, Prefixes> = new Map();
  private readonly bySession: Map<Session, Map<string, Set<string>>> = new Map();

  /** Adds a watch; an existing one is unchanged. Throws LIMIT_EXCEEDED beyond 100 per connection. */
  add(session: Session, namespace: string, prefix: string): void {
    const place = keyOf(session.principal.tenant, namespace);
    const own = this.bySession.get(session) ?? new Map<string, Set<string>>();
    const here = own.get(place) ?? new Set<string>();
    if (here.has(prefix)) return;
    let count = 0;
    for (const { size } of own.values()) count += size;
    if (count >= MAX_WATCHES) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A connection holds at most ${MAX_WATCHES} watches; end some with unwatch.`,
        { limit: MAX_WATCHES },
      );
    }
    this.bySession.set(session, own.set(place, here.add(prefix)));
    const prefixes: Prefixes = this.byNamespace.get(place) ?? new Map();
    const watching = prefixes.get(prefix) ?? new Set<Session>();
    this.byNamespace.set(place, prefixes.set(prefix, watching.add(session)));
  }

  /** Ends one watch or, without a prefix, all of the namespace; false when there was none. */
  remove(session: Session, namespace: string, prefix: string | undefined): boolean {
    const place = keyOf(session.principal.tenant, namespace);
    const here = this.bySession.get(session)?.get(place);
    const ended = prefix === undefined ? [...(here ?? [])] : here?.has(prefix) ? [prefix] : [];
    for (const one of ended) this.drop(session, place, one);
    return ended.length > 0;
  }

  /** Ends all watches of a closed connection. */
  forget(session: Session): void {
    for (const [place, prefixes] of [...(this.bySession.get(session) ?? [])]) {
      for (const prefix of [...prefixes]) this.drop(session, place, prefix);
    }
  }

  /** Connections that watch a key, each once. The cost depends on the key's length, not on other watches. */
  of(tenant: string, namespace: string, key: string): Set<Session> {
    const watching = new Set<Session>();
    const prefixes = this.byNamespace.get(keyOf(tenant, namespace));
    if (prefixes === undefined) return watching;
    for (let length = 0; length <= key.length; length += 1) {
      for (const session of prefixes.get(key.slice(0, length)) ?? []) watching.add(session);
    }
    return watching;
  }

  private drop(session: Session, place: string, prefix: string): void {
    const own = this.bySession.get(session);
    removeFrom(own, place, prefix);
    if (own?.size === 0) this.bySession.delete(session);
    const prefixes = this.byNamespace.get(place);
    removeFrom(prefixes, prefix, session);
    if (prefixes?.size === 0) this.byNamespace.delete(place);
  }
}

/** Removes an item from a set in a map, and the set when it is empty. */
function removeFrom<T>(sets: Map<string, Set<T>> | undefined, key: string, item: T): void {
  const set = sets?.get(key);
  set?.delete(item);
  if (set?.size === 0) sets?.delete(key);
}

/** Tenants contain no slash, so no namespace can collide with another tenant's. */
function keyOf(tenant: string, namespace: string): string {
  return `${tenant}/${namespace}`;
}
