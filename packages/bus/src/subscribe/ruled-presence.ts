import { attempt } from '../awaitable.ts';
import type { Session } from '../connection/session.ts';
import type { Channel, Rooms } from '../rooms.ts';
import { Slice } from '../turn.ts';
import type { Rosters } from './presence.ts';

/**
 * Applies the current rules to presence watchers, whenever they joined. Watching that a rule forbids ends at once; a
 * member that starts to watch is sent the whole set, as a notice with `reset`.
 */
export class RuledPresence {
  private readonly rooms: Rooms;
  private readonly rosters: Rosters;
  private readonly onFault: (error: unknown) => void;
  /** Tenants whose members are being checked, and whether their rules have changed again in the meantime. */
  private readonly busy: Map<string, boolean> = new Map();

  constructor(rooms: Rooms, rosters: Rosters, onFault: (error: unknown) => void) {
    this.rooms = rooms;
    this.rosters = rosters;
    this.onFault = onFault;
  }

  /** The rules of a tenant have changed. */
  follow(tenant: string): void {
    for (const channel of this.rosters.watchedOf(tenant)) {
      for (const session of [...(channel.watchers ?? [])]) {
        if (!this.isDue(session, channel)) this.rosters.unwatch(session, channel);
      }
    }
    const isBusy = this.busy.has(tenant);
    this.busy.set(tenant, isBusy);
    if (!isBusy) void attempt(() => this.admitAll(tenant), this.onFault);
  }

  private async admitAll(tenant: string): Promise<void> {
    try {
      do {
        this.busy.set(tenant, false);
        await this.lookOnce(tenant);
      } while (this.busy.get(tenant) === true);
    } finally {
      this.busy.delete(tenant);
    }
  }

  private async lookOnce(name: string): Promise<void> {
    const tenant = this.rooms.tenants.get(name);
    if (tenant === undefined) return;
    const slice = new Slice();
    const places = [tenant.everything];
    for (const room of tenant.rooms.values()) {
      for (const place of room.places()) {
        if (place.members.size > 0 && place.matches === null) places.push(place);
        if (slice.isOver) await slice.next();
      }
    }
    for (const place of places) {
      const due: Session[] = [];
      for (const session of place.members.keys()) {
        if (this.isDue(session, place) && place.watchers?.has(session) !== true) due.push(session);
        if (slice.isOver) await slice.next();
      }
      if (due.length > 0) await this.rosters.admit(due, place, (session) => this.isDue(session, place));
    }
  }

  /** Whether a member should watch: as a rule says, otherwise as it requested. */
  private isDue(session: Session, channel: Channel): boolean {
    const membership = channel.members.get(session);
    if (membership === undefined || session.closed) return false;
    return this.rooms.policy(channel).presence ?? membership.asksPresence;
  }
}
