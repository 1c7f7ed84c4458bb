import type { Access } from '../../access.ts';
import type { Session } from '../../connection/session.ts';
import type { Principal } from '../../principal.ts';

/**
 * What a rule's owner may read, asked for each event. While the connection that registered the rule lives,
 * its principal counts, so that a renewed token with narrower grants narrows the rule at once.
 */
export class OwnerGrants {
  private readonly access: Access;
  private principal: Principal;
  private session: Session | null;
  private readonly successor: () => Session | undefined;
  private readonly onChange: (principal: Principal) => void;

  /**
   * @param session the connection that registered the rule; null when it is not on this node
   * @param successor another connection of the owner, which takes over when that one has closed; with none the
   *   principal last seen stays
   * @param onChange told of a principal that replaced the one before
   */
  constructor(
    access: Access,
    principal: Principal,
    session: Session | null,
    successor: () => Session | undefined,
    onChange: (principal: Principal) => void,
  ) {
    this.access = access;
    this.principal = principal;
    this.session = session;
    this.successor = successor;
    this.onChange = onChange;
  }

  allow(room: string, channel: string): boolean {
    return this.access.may(this.current(), 'subscribe', room, channel);
  }

  /** The principal that counts now. */
  current(): Principal {
    this.follow(this.session);
    if (this.session?.closed) {
      this.session = this.successor() ?? null;
      this.follow(this.session);
    }
    return this.principal;
  }

  /** Takes what another node says; where the owner is connected, this node knows better. */
  replace(principal: Principal): void {
    if (this.session === null) this.principal = principal;
  }

  private follow(session: Session | null): void {
    if (session === null || session.principal === this.principal) return;
    this.principal = session.principal;
    this.onChange(this.principal);
  }
}
