import { after, type Clock, fullJitter } from './clock.ts';
import { ConnectionError } from './errors.ts';
import type { TokenOption } from './options.ts';

/** How long before its end the server tells of a token that lives at least twice as long, milliseconds. */
const NOTICE_MS = 60_000;
/** Waits between attempts to renew a token: one second, and a random time that grows. */
const RETRY = { baseMs: 1_000, maxMs: 30_000 };

/** The token in use. A function is asked once, and again only when the token has expired or is about to. */
export class TokenSource {
  /** Whether a fresh token can be had. */
  readonly renewable: boolean;
  /** When the token in use was given, milliseconds since 1970. */
  givenAt: number;
  readonly #clock: Clock;
  readonly #option: TokenOption | undefined;
  #current: Promise<string | undefined> | undefined;

  constructor(option: TokenOption | undefined, clock: Clock) {
    this.#option = option;
    this.#clock = clock;
    this.givenAt = clock.now();
    this.renewable = typeof option === 'function';
  }

  /** Rejects with `TOKEN_FAILED`, retryable, when the function fails; it is then asked again next time. */
  current(): Promise<string | undefined> {
    if (this.#current === undefined) {
      const asked = this.fresh();
      this.#current = asked;
      this.givenAt = this.#clock.now();
      asked.catch(() => {
        if (this.#current === asked) this.forget();
      });
    }
    return this.#current;
  }

  /** Asks for a fresh token. The one in use stays so until {@link TokenSource.use}. */
  async fresh(): Promise<string | undefined> {
    if (typeof this.#option !== 'function') return this.#option;
    try {
      return await this.#option();
    } catch (cause) {
      const message = `The token function failed: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new ConnectionError('TOKEN_FAILED', message, true, { cause });
    }
  }

  /** The token has expired or was refused. */
  forget(): void {
    this.#current = undefined;
  }

  /** A token that the server has just accepted. */
  use(token: string): void {
    this.#current = Promise.resolve(token);
    this.givenAt = this.#clock.now();
  }
}

/** Renews the token once for each notice of the server that it is about to expire. */
export class TokenRenewal {
  readonly #clock: Clock;
  readonly #tokens: TokenSource;
  readonly #renew: () => Promise<boolean>;
  readonly #report: (error: unknown) => void;
  #cancel: (() => void) | undefined;
  /** Grows with every stop: what an older attempt comes to is of no interest. */
  #run = 0;

  /** @param renew resolves with whether the token is another one now */
  constructor(clock: Clock, tokens: TokenSource, renew: () => Promise<boolean>, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#tokens = tokens;
    this.#renew = renew;
    this.#report = report;
  }

  /**
   * The server's notice. The token is renewed now, but not before half of its life is over: a notice that comes with
   * a token that was given a moment ago would lead to the next token at once, and to its notice.
   */
  expiring(expiresInMs: number): void {
    if (!this.#tokens.renewable || this.#cancel !== undefined) return;
    const now = this.#clock.now();
    const age = now - this.#tokens.givenAt;
    const life = age + expiresInMs;
    const wait = life < 2 * NOTICE_MS ? Math.max(0, life / 2 - age) : 0;
    // Clients that got their tokens at the same moment do not come back for the next one at the same moment.
    this.#schedule(wait + (this.#clock.random() * expiresInMs) / 10, now + expiresInMs, 0);
  }

  /** The token is another one, or the line is gone: the server tells of the token again. */
  stop(): void {
    this.#run += 1;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #schedule(ms: number, expiresAt: number, failures: number): void {
    this.#cancel = after(this.#clock, ms, () => void this.#attempt(this.#run, expiresAt, failures));
  }

  async #attempt(run: number, expiresAt: number, failures: number): Promise<void> {
    const isRenewed = await this.#renew().catch(this.#report);
    if (run !== this.#run) return;
    this.#cancel = undefined;
    if (isRenewed === true) return;
    const wait = 1_000 + fullJitter(failures, RETRY, this.#clock.random());
    // Later the server closes with 4401, and the next connection asks for a token anyway.
    if (this.#clock.now() + wait < expiresAt) this.#schedule(wait, expiresAt, failures + 1);
  }
}

/** The `sub` that a JWT says; undefined when it says none or is none. */
export function subjectOf(token: string): string | undefined {
  try {
    const claims = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(claims), (character) => character.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown };
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined;
  }
}
