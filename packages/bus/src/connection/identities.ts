import type { Session } from './session.ts';

const NOBODY: readonly Session[] = [];

/**
 * The connections of each identity (subject, client key or client id). Nearly every identity has only one, which is
 * stored directly: a set for each would be the largest part of a connection's memory here.
 */
export class Identities {
  private readonly connections: Map<string, Session | Set<Session>> = new Map();

  has(identity: string): boolean {
    return this.connections.has(identity);
  }

  of(identity: string): readonly Session[] {
    const found = this.connections.get(identity);
    if (found === undefined) return NOBODY;
    return found instanceof Set ? [...found] : [found];
  }

  add(session: Session): void {
    const { identity } = session;
    const found = this.connections.get(identity);
    if (found === undefined) this.connections.set(identity, session);
    else if (found instanceof Set) found.add(session);
    else if (found !== session) this.connections.set(identity, new Set([found, session]));
  }

  /** True when that was the last connection of its identity. */
  remove(session: Session): boolean {
    const { identity } = session;
    const found = this.connections.get(identity);
    if (found instanceof Set) {
      found.delete(session);
      if (found.size > 0) return false;
    } else if (found !== session) return false;
    return this.connections.delete(identity);
  }
}
