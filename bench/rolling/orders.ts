/** Messages from the program to a process of clients. */
export type Order =
  | {
      readonly kind: 'open';
      readonly urls: readonly string[];
      /** The first client's number, and the number of clients. */
      readonly first: number;
      readonly count: number;
      readonly channels: number;
    }
  | {
      readonly kind: 'finish';
      /** The number of the last event of each channel. */
      readonly last: readonly number[];
    };

/** A client that lost its connection and reconnected; times in milliseconds since 1970. */
export interface Return {
  /** Its new node. */
  readonly node: string;
  readonly lostAt: number;
  readonly openAt: number;
  readonly attempts: number;
}

export interface Report {
  readonly returns: readonly Return[];
  /** From the publish call of an event to each of its subscribers, in milliseconds. */
  readonly delays: readonly number[];
  readonly doubled: number;
  readonly lost: number;
  /** How often a subscription reported possibly missed events. */
  readonly resets: number;
  /** Clients that were not connected at the end. */
  readonly away: number;
  /** Reasons for lost or refused connections, with their counts. */
  readonly errors: readonly (readonly [string, number])[];
}

/** The address of a channel by its number. */
export function addressOf(channel: number): string {
  return `rolling:c${channel}`;
}

/** Milliseconds since 1970, consistent across all processes of the machine, and monotonic. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
