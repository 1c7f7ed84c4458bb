import type { Verdict } from './inspect.ts';

/** Rooms of one tenant that are counted by name; further ones count as {@link OTHER_ROOMS}. */
const MAX_ROOMS_OF_TENANT = 100;
/** Rooms of all tenants that are counted by name. */
const MAX_ROOMS = 10_000;
/** Tenants with counts by room; others only count in the totals. */
const MAX_TENANTS = 1_000;
/** Not a valid room name, because of the space. */
export const OTHER_ROOMS = 'other rooms';
/** Messages without a room. */
const NO_ROOM = '';

/** The number of verdicts of one kind, for a labelled counter. Contains no tenant and no room. */
export interface DecisionCount {
  readonly decision: Verdict['decision'];
  readonly reason: Verdict['reasonCode'];
  readonly count: number;
}

/** The number of verdicts of one kind in one room of a tenant. */
export interface RoomDecisionCount extends DecisionCount {
  /** `other rooms` beyond the hundredth, empty for messages without a room. */
  readonly room: string;
}

/** Reason → decision → count: nested, so that counting builds no key. */
type Counts = Map<Verdict['reasonCode'], Map<Verdict['decision'], number>>;

/** Counts for metrics, and for the admins of each tenant. */
export class Tally {
  readonly #totals: Counts = new Map();
  readonly #tenants = new Map<string, Map<string, Counts>>();
  #rooms = 0;

  /** Counts a verdict on a message to `room`. */
  count(verdict: Verdict, tenant: string, room: string | undefined): void {
    add(this.#totals, verdict);
    const rooms = this.#roomsOf(tenant);
    if (rooms === undefined) return;
    // A name with a secret is never shown.
    const name = room === undefined ? NO_ROOM : verdict.addressMatched ? OTHER_ROOMS : room;
    add(rooms.get(name) ?? this.#admit(rooms, name), verdict);
  }

  /** All counts of the process, one for each combination that has occurred. */
  decisions(): DecisionCount[] {
    return list(this.#totals);
  }

  /** The counts of a tenant's rooms; at most 102 rooms. */
  roomDecisions(tenant: string): RoomDecisionCount[] {
    const rooms = this.#tenants.get(tenant) ?? [];
    return [...rooms].flatMap(([room, counts]) => list(counts).map((count) => ({ room, ...count })));
  }

  #roomsOf(tenant: string): Map<string, Counts> | undefined {
    let rooms = this.#tenants.get(tenant);
    if (rooms === undefined && this.#tenants.size < MAX_TENANTS) {
      rooms = new Map();
      this.#tenants.set(tenant, rooms);
    }
    return rooms;
  }

  #admit(rooms: Map<string, Counts>, name: string): Counts {
    const isNamed = name !== OTHER_ROOMS && name !== NO_ROOM;
    if (isNamed && (rooms.size >= MAX_ROOMS_OF_TENANT || this.#rooms >= MAX_ROOMS)) return this.#other(rooms);
    const counts: Counts = new Map();
    rooms.set(name, counts);
    if (isNamed) this.#rooms++;
    return counts;
  }

  #other(rooms: Map<string, Counts>): Counts {
    return rooms.get(OTHER_ROOMS) ?? this.#admit(rooms, OTHER_ROOMS);
  }
}

function add(counts: Counts, { reasonCode, decision }: Verdict): void {
  let decisions = counts.get(reasonCode);
  if (decisions === undefined) {
    decisions = new Map();
    counts.set(reasonCode, decisions);
  }
  decisions.set(decision, (decisions.get(decision) ?? 0) + 1);
}

function list(counts: Counts): DecisionCount[] {
  return [...counts].flatMap(([reason, decisions]) =>
    [...decisions].map(([decision, count]) => ({ decision, reason, count })),
  );
}
