import type { Principal } from '@arqonbus/bus';
import { WILDCARD } from '@arqonbus/protocol';

/** One event, serialized once for everyone who is told of it. */
export interface Recorded {
  /** Null: the server's own, for operators alone. */
  readonly tenant: string | null;
  readonly eventType: string;
  /** The room that the event is about, if it is about one. */
  readonly room: string | undefined;
  /** The channel in it; undefined for all of the room. */
  readonly channel: string | undefined;
  /** The event as JSON text. */
  readonly text: string;
}

/** Who asks for events: an operator for those of all tenants, anybody else for its own tenant's. */
export type View = Pick<Principal, 'tenant' | 'operator' | 'grants'>;

/** Whether an event may be seen: what is about a room that the grants do not cover may not even name it. */
export function isVisible({ tenant, room, channel = WILDCARD }: Recorded, view: View): boolean {
  if (!view.operator && tenant !== view.tenant) return false;
  if (room === undefined || view.grants === null) return true;
  return view.grants.subscribe?.allows(`${room}:${channel}`) === true;
}

/** The last events, oldest first: bounded by number, and by size since clients submit events of their own. */
export class TelemetryRing {
  private readonly maxEvents: number;
  private readonly maxCharacters: number;
  private events: Recorded[] = [];
  /** Where the oldest event is in `events`; what is before it has been let go. */
  private start = 0;
  private characters = 0;

  constructor(maxEvents: number, maxCharacters: number) {
    this.maxEvents = maxEvents;
    this.maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.events.length - this.start;
  }

  add(event: Recorded): void {
    this.events.push(event);
    this.characters += event.text.length;
    while (this.size > this.maxEvents || (this.characters > this.maxCharacters && this.size > 1)) {
      this.characters -= this.events[this.start]?.text.length ?? 0;
      this.start += 1;
    }
    // Moves what is left to the front when that is at most half: each event is moved once on average.
    if (this.start > this.events.length / 2) {
      this.events = this.events.slice(this.start);
      this.start = 0;
    }
  }

  /** The last `limit` events that `accepts`, oldest first. */
  last(limit: number, accepts: (event: Recorded) => boolean): Recorded[] {
    const found: Recorded[] = [];
    for (let index = this.events.length - 1; index >= this.start && found.length < limit; index -= 1) {
      const event = this.events[index] as Recorded;
      if (accepts(event)) found.push(event);
    }
    return found.reverse();
  }
}
