import type { Bus } from '../bus.ts';
import type { Session } from '../connection/session.ts';
import { hasRole, type Principal } from '../principal.ts';

export interface OwnerOptions {
  readonly tenant: string;
  /** Who it is beyond one connection. */
  readonly identity: string;
  /** What the owner was allowed when it was last seen. */
  readonly principal: Principal;
  /** The connection that made the thing; null when it is not on this node, or is gone. */
  readonly session: Session | null;
  /** Told of a principal that replaces the one last seen, since a token was renewed. */
  readonly onChange: (principal: Principal) => void;
}

/**
 * On whose behalf a job or a webhook acts. It is asked each time that something is done, so that a token which was
 * renewed with narrower grants, or has expired, counts at once.
 */
export class Owner {
  private readonly bus: Bus;
  private readonly tenant: string;
  private readonly identity: string;
  private readonly onChange: (principal: Principal) => void;
  private principal: Principal;
  private session: Session | null;

  constructor(bus: Bus, { tenant, identity, principal, session, onChange }: OwnerOptions) {
    this.bus = bus;
    this.tenant = tenant;
    this.identity = identity;
    this.onChange = onChange;
    this.principal = principal;
    this.session = session;
  }

  /**
   * What the owner may do now: by the connection that made the thing; when that has closed, by another connection of
   * the owner's; with none, what was last known.
   */
  current(): Principal {
    this.follow();
    return this.session === null ? (this.connected()?.principal ?? this.principal) : this.principal;
  }

  /** The last token has expired and nobody is connected with another. What an admin made goes on without one. */
  isOver(): boolean {
    this.follow();
    const { expiresAt } = this.principal;
    if (expiresAt === null || hasRole(this.principal, 'admin') || this.bus.options.now() < expiresAt) return false;
    // The bus closes connections whose token is over: one that is open stands on a valid one.
    return this.session === null && this.connected() === undefined;
  }

  /** Takes what another node says; where the connection is, this node knows better. */
  replace(principal: Principal): void {
    if (this.session === null) this.principal = principal;
  }

  private connected(): Session | undefined {
    const [session] = this.bus.rooms.tenant(this.tenant).identities.get(this.identity) ?? [];
    return session;
  }

  private follow(): void {
    const { session } = this;
    if (session === null) return;
    if (session.closed) this.session = null;
    if (session.principal === this.principal) return;
    this.principal = session.principal;
    this.onChange(this.principal);
  }
}
