import type { Verdict } from './inspect.ts';

/** Rooms counted by name; further ones are counted as {@link OTHER_ROOMS}. */
const MAX_ROOMS = 100;
/** No name of a room holds a space. */
export const OTHER_ROOMS = 'other rooms';
/** What went to no room. */
export const NO_ROOM = '';

/** Verdicts of one kind, for a counter with labels. */
export interface DecisionCount {
  readonly decision: string;
  readonly reason: string;
  readonly room: string;
  readonly count: number;
}

/** Plain numbers for the metrics page to read. */
export class Tally {
  /** Reason → decision → room → count: nested, so that counting builds no key. */
  readonly #counts = new Map<string, Map<string, Map<string, number>>>();
  readonly #rooms = new Set<string>();

  /** Counts a verdict on what went to `room`. */
  count(verdict: Verdict, room: string | undefined): void {
    const rooms = this.#roomsOf(verdict);
    const label = this.#label(room);
    rooms.set(label, (rooms.get(label) ?? 0) + 1);
  }

  /** All counts, one for each combination that has occurred. */
  *decisions(): Generator<DecisionCount> {
    for (const [reason, decisions] of this.#counts) {
      for (const [decision, rooms] of decisions) {
        for (const [room, count] of rooms) yield { decision, reason, room, count };
      }
    }
  }

  #roomsOf({ reasonCode, decision }: Verdict): Map<string, number> {
    let decisions = this.#counts.get(reasonCode);
    if (decisions === undefined) {
      decisions = new Map();
      this.#counts.set(reasonCode, decisions);
    }
    let rooms = decisions.get(decision);
    if (rooms === undefined) {
      rooms = new Map();
      decisions.set(decision, rooms);
    }
    return rooms;
  }

  #label(room: string | undefined): string {
    if (room === undefined) return NO_ROOM;
    if (this.#rooms.has(room)) return room;
    if (this.#rooms.size >= MAX_ROOMS) return OTHER_ROOMS;
    this.#rooms.add(room);
    return room;
  }
}
