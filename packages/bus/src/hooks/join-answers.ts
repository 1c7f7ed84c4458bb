import type { Clock } from '../clock.ts';
import type { HookAnswer } from './answer.ts';

/** Cached answers; beyond this the oldest are evicted. */
export const MAX_JOIN_ANSWERS = 10_000;

/** The part of an answer that matters for a join. */
export type JoinAnswer = Pick<HookAnswer, 'allow' | 'reason' | 'errorCode'>;

/** Caches backends' answers to joins, for the time set by their rules. */
export class JoinAnswers {
  private readonly clock: Clock;
  private readonly answers: Map<string, { readonly answer: JoinAnswer; readonly at: number }> = new Map();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get(key: string, seconds: number): JoinAnswer | undefined {
    const known = this.answers.get(key);
    if (known === undefined) return undefined;
    if (this.clock.steady() - known.at < seconds * 1_000) return known.answer;
    this.answers.delete(key);
    return undefined;
  }

  set(key: string, { allow, reason, errorCode }: JoinAnswer): void {
    this.answers.delete(key);
    if (this.answers.size >= MAX_JOIN_ANSWERS) {
      for (const oldest of this.answers.keys()) {
        this.answers.delete(oldest);
        break;
      }
    }
    this.answers.set(key, { answer: { allow, reason, errorCode }, at: this.clock.steady() });
  }
}
