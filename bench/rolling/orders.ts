/** What the program tells a process of clients. */
export type Order =
  | {
      readonly kind: 'open';
      readonly urls: readonly string[];
      /** The first client's number, and how many they are. */
      readonly first: number;
      readonly count: number;
      readonly channels: number;
    }
  | {
      readonly kind: 'finish';
      /** The number of the last event of each channel. */
      readonly last: readonly number[];
    };

/** A client that lost its connection and was back; times in milliseconds since 1970. */
export interface Return {
  /** Where it is now. */
  readonly node: string;
  readonly lostAt: number;
  readonly openAt: number;
  readonly attempts: number;
}

export interface Report {
  readonly returns: readonly Return[];
  /** From the call that published an event to each of its subscribers, in milliseconds. */
  readonly delays: readonly number[];
  readonly doubled: number;
  readonly lost: number;
  /** How often a subscription was told that it may have missed something. */
  readonly resets: number;
  /** Clients that were not connected at the end. */
  readonly away: number;
  /** Why connections were lost or refused, and how often. */
  readonly errors: readonly (readonly [string, number])[];
}

/** The address of a channel by its number. */
export function addressOf(channel: number): string {
  return `rolling:c${channel}`;
}

/** Milliseconds since 1970, alike in all processes of the machine, and steadier than its clock. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
