/** Maximum number of remembered tokens with an unknown outcome; the oldest are dropped. */
const MOST = 10_000;

/** Answers whose outcome did not reach a client of this node: a repetition is treated as the same answer. */
export class UnsureAnswers {
  private readonly tokens: Set<string> = new Set();

  add(tokens: readonly string[]): void {
    for (const token of tokens) this.tokens.add(token);
    for (const oldest of this.tokens) {
      if (this.tokens.size <= MOST) return;
      this.tokens.delete(oldest);
    }
  }

  hasAny(tokens: readonly string[]): boolean {
    return this.tokens.size > 0 && tokens.some((token) => this.tokens.has(token));
  }

  settle(tokens: readonly string[]): void {
    if (this.tokens.size > 0) for (const token of tokens) this.tokens.delete(token);
  }
}
