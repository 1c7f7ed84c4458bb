import type { Session } from '../connection/session.ts';
import type { Core } from '../core.ts';
import { hasRole, type Principal } from '../principal.ts';

export interface OwnerOptions {
  readonly tenant: string;
  /** Stable across connections. */
  readonly identity: string;
  /** The owner's last known rights. */
  readonly principal: Principal;
  /** The connection that created the item; null when it is not on this node, or is closed. */
  readonly session: Session | null;
  readonly durable: boolean;
  /** Called when a renewed token replaces the last known principal. */
  readonly onChange: (principal: Principal) => void;
}

/**
 * The owner on whose behalf a job or a webhook acts. Checked for each action, so that a renewed token with narrower
 * grants, or an expired one, takes effect at once.
 *
 * An item uses the token of the connection that created it, as last renewed. Another token of the owner, with other
 * grants, is used only when that one is gone: for items that are not durable once the connection has closed, and for
 * all items once it has expired.
 */
export class Owner {
  private readonly bus: Core;
  private readonly tenant: string;
  private readonly identity: string;
  private readonly durable: boolean;
  private readonly onChange: (principal: Principal) => void;
  private principal: Principal;
  /** When its rights last changed, in milliseconds since 1970. */
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

  /** The owner's current rights. */
  current(): Principal {
    this.follow();
    return this.principal;
  }

  /** The token has expired and the owner has no other connection here. Items of admins continue without a token. */
  isOver(): boolean {
    this.follow();
    // The bus closes connections with expired tokens, so an open connection has a valid one.
    return this.session === null && this.hasExpired();
  }

  /** Takes a principal from another node; false when the connection is here, because this node knows better. */
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
