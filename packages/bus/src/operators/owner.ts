import type { Session } from '../connection/session.ts';
import type { Core } from '../core.ts';
import { hasRole, type Principal } from '../principal.ts';

export interface OwnerOptions {
  readonly tenant: string;
  /** Who it is beyond one connection. */
  readonly identity: string;
  /** What the owner was allowed when it was last seen. */
  readonly principal: Principal;
  /** The connection that made the thing; null when it is not on this node, or is gone. */
  readonly session: Session | null;
  readonly durable: boolean;
  /** Told of a principal that replaces the one last seen, since a token was renewed. */
  readonly onChange: (principal: Principal) => void;
}

/**
 * On whose behalf a job or a webhook acts. It is asked each time that something is done, so that a token which was
 * renewed with narrower grants, or has expired, counts at once.
 *
 * A thing stands on the token of the connection that made it, as last renewed. Another token of the owner's, which may
 * say more or less, counts only where that one is no more: for what is not durable once the connection has closed, and
 * for all once it has expired.
 */
export class Owner {
  private readonly bus: Core;
  private readonly tenant: string;
  private readonly identity: string;
  private readonly durable: boolean;
  private readonly onChange: (principal: Principal) => void;
  private principal: Principal;
  /** When what it may do was last changed, in milliseconds since 1970. */
  changedAt: number = Number.NEGATIVE_INFINITY;
  private session: Session | null;

  constructor(bus: Core, { tenant, identity, principal, session, durable, onChange }: OwnerOptions) {
    this.bus = bus;
    this.tenant = tenant;
    this.identity = identity;
    this.durable = durable;
    this.onChange = onChange;
    this.principal = principal;
    this.session = session;
  }

  /** What the owner may do now. */
  current(): Principal {
    this.follow();
    return this.principal;
  }

  /** The token has expired and its owner is not here with another. What an admin made goes on without one. */
  isOver(): boolean {
    this.follow();
    // The bus closes connections whose token is over: one that is open stands on a valid one.
    return this.session === null && this.hasExpired();
  }

  /** Takes what another node says; false where the connection is, since this node knows better. */
  replace(principal: Principal): boolean {
    if (this.session !== null) return false;
    this.changedAt = this.bus.options.now();
    this.principal = principal;
    return true;
  }

  private follow(): void {
    const { session } = this;
    if (session !== null) {
      this.note(session.principal);
      if (!session.closed) return;
      this.session = this.durable ? null : this.connected();
    }
    if (this.session === null && this.hasExpired()) this.session = this.connected();
    if (this.session !== null) this.note(this.session.principal);
  }

  private note(principal: Principal): void {
    if (principal === this.principal) return;
    this.changedAt = this.bus.options.now();
    this.principal = principal;
    this.onChange(principal);
  }

  private hasExpired(): boolean {
    const { expiresAt } = this.principal;
    return expiresAt !== null && !hasRole(this.principal, 'admin') && this.bus.options.now() >= expiresAt;
  }

  private connected(): Session | null {
    const [session] = this.bus.rooms.tenant(this.tenant).identities.of(this.identity);
    return session ?? null;
  }
}
