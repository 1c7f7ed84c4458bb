import type { Access } from '../access.ts';
import type { Coverage, Session } from '../connection/session.ts';

/** Channels whose coverage is cached. */
const MOST_KNOWN = 10_000;

/** The channels of a room that a session may read by its current grants, cached per channel. */
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
    // After a token renewal the membership is re-evaluated; until then the new grants apply.
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
