import type { Access } from '../access.ts';
import type { Coverage, Session } from '../connection/session.ts';

/** Channels of which it is remembered whether they are covered. */
const MOST_KNOWN = 10_000;

/** Which channels of a room a session may read, by its grants as they are now: asked once a channel and session. */
export class GrantedChannels implements Coverage {
  private readonly access: Access;
  private readonly session: Session;
  private readonly room: string;
  private readonly principal: Session['principal'];
  private readonly known: Map<string, boolean> = new Map();

  constructor(access: Access, session: Session, room: string) {
    this.access = access;
    this.session = session;
    this.room = room;
    this.principal = session.principal;
  }

  includes(channel: string): boolean {
    // Whoever has renewed its token is asked anew by the membership; until then the new grants count.
    const { principal } = this.session;
    if (principal !== this.principal) return this.access.may(principal, 'subscribe', this.room, channel);
    let covered = this.known.get(channel);
    if (covered === undefined) {
      covered = this.access.may(principal, 'subscribe', this.room, channel);
      if (this.known.size >= MOST_KNOWN) this.known.clear();
      this.known.set(channel, covered);
    }
    return covered;
  }
}
