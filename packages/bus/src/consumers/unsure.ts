/** Tokens of which a node remembers that nobody knows what came of their answer; the latest so many. */
const MOST = 10_000;

/** Answers whose outcome a client of this node was not told: when it gives them again, they are the same ones. */
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
