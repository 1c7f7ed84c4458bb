import type { Session } from '../connection/session.ts';
import type { StreamEvent } from '../engine/engine.ts';
import type { Channel } from '../rooms.ts';
import type { CatchUp } from './catch-up.ts';

/** The catch-ups running on this node. Only one of them replays a given stream to a session, whatever it has joined. */
export class CatchUps {
  /** By joined place. */
  private readonly byPlace: Map<Channel, Set<CatchUp>> = new Map();
  /** In the order started. */
  private readonly bySession: Map<Session, Set<CatchUp>> = new Map();

  get size(): number {
    return this.bySession.size;
  }

  start(catchUp: CatchUp): void {
    add(this.byPlace, catchUp.channel, catchUp);
    add(this.bySession, catchUp.session, catchUp);
  }

  end(catchUp: CatchUp): void {
    remove(this.byPlace, catchUp.channel, catchUp);
    remove(this.bySession, catchUp.session, catchUp);
  }

  /** The catch-up that currently delivers a channel's events to a session, ignoring `but`. */
  carrier(session: Session, channel: Channel, but?: CatchUp): CatchUp | undefined {
    for (const catchUp of this.bySession.get(session) ?? []) {
      if (catchUp !== but && catchUp.carries(channel)) return catchUp;
    }
    return undefined;
  }

  /** Ends those of a session at a place, or all of them; returns those that were unfinished. */
  abandon(session: Session, place?: Channel): CatchUp[] {
    const abandoned = [...(this.bySession.get(session) ?? [])].filter(
      ({ channel }) => place === undefined || channel === place,
    );
    for (const catchUp of abandoned) catchUp.stop();
    return abandoned;
  }

  /** Offers a live event to those that hold it back; returns how many will forward it. */
  feed(channel: Channel, event: StreamEvent): number {
    let fed = 0;
    const { parent, patterns } = channel;
    const { everything } = parent.tenant;
    const places = channel.isWide ? this.byPlace.keys() : [channel, parent.wide, everything, ...patterns];
    for (const place of places) {
      if (channel.isWide && place.parent !== parent && place !== everything) continue;
      for (const catchUp of this.byPlace.get(place) ?? []) {
        if (this.carrier(catchUp.session, channel) === catchUp && catchUp.offer(channel, event)) fed += 1;
      }
    }
    return fed;
  }
}

function add<K>(sets: Map<K, Set<CatchUp>>, key: K, catchUp: CatchUp): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([catchUp]));
  else known.add(catchUp);
}

function remove<K>(sets: Map<K, Set<CatchUp>>, key: K, catchUp: CatchUp): void {
  const known = sets.get(key);
  if (known?.delete(catchUp) === true && known.size === 0) sets.delete(key);
}
