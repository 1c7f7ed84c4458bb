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
