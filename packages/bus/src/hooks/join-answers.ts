import type { Clock } from '../clock.ts';
import type { HookAnswer } from './answer.ts';

/** Answers that are kept; beyond it the oldest go. */
export const MAX_JOIN_ANSWERS = 10_000;

/** As much of an answer as counts for a membership. */
export type JoinAnswer = Pick<HookAnswer, 'allow' | 'reason' | 'errorCode'>;

/** What backends said about memberships, for as long as their rules say. */
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
