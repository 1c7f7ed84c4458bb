import type { Principal } from '@arqonbus/bus';
import { WILDCARD } from '@arqonbus/protocol';

/** One event, serialized once for all its recipients. */
export interface Recorded {
  /** Null: the server's own, for operators only. */
  readonly tenant: string | null;
  readonly eventType: string;
  /** The room that the event is about, if any. */
  readonly room: string | undefined;
  /** The channel in it; undefined: the whole room. */
  readonly channel: string | undefined;
  /** The event as JSON text. */
  readonly text: string;
}

/** Who requests events: operators see those of all tenants, others those of their own tenant. */
export type View = Pick<Principal, 'tenant' | 'operator' | 'grants'>;

/** Whether an event is visible; events about a room outside the grants are hidden, since they name it. */
export function isVisible({ tenant, room, channel = WILDCARD }: Recorded, view: View): boolean {
  if (!view.operator && tenant !== view.tenant) return false;
  if (room === undefined || view.grants === null) return true;
  return view.grants.subscribe?.allows(`${room}:${channel}`) === true;
}

/** The latest events, oldest first; limited by count, and by size because clients submit events too. */
export class TelemetryRing {
  private readonly maxEvents: number;
  private readonly maxCharacters: number;
  private events: Recorded[] = [];
  /** Index of the oldest event in `events`; entries before it are discarded. */
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
    // Compact when at most half is left: amortized, each event moves once.
    if (this.start > this.events.length / 2) {
      this.events = this.events.slice(this.start);
      this.start = 0;
    }
  }

  /** The last `limit` events matching `accepts`, oldest first. */
  last(limit: number, accepts: (event: Recorded) => boolean): Recorded[] {
    const found: Recorded[] = [];
    for (let index = this.events.length - 1; index >= this.start && found.length < limit; index -= 1) {
      const event = this.events[index] as Recorded;
      if (accepts(event)) found.push(event);
    }
    return found.reverse();
  }
}
