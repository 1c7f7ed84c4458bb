import type { GroupPlace } from './group.ts';
import type { Settlement } from './ledger.ts';

/** What a member says of the events that it holds. */
export type AnswerKind = 'ack' | 'nack' | 'extend' | 'reject';

export interface Answer {
  readonly kind: AnswerKind;
  readonly tokens: readonly string[];
  readonly delayMs?: number | undefined;
  readonly reason?: string | undefined;
  /** Whose answer it is. */
  readonly by: string | null;
}

export interface Answered {
  readonly done: string[];
  /** Tokens that held nothing any more. */
  readonly lost: string[];
}

/** An event that the group is done with. `text` is null when it is no longer at hand. */
export interface Settled {
  readonly place: GroupPlace;
  readonly channel: string;
  readonly sequence: number;
  readonly text: string | null;
  readonly outcome: Settlement;
  readonly attempts: number;
  /** The subject whose answer it was; null without one. */
  readonly by: string | null;
}
