import { after, type Clock, fullJitter } from './clock.ts';
import { ConnectionError } from './errors.ts';
import type { TokenOption } from './options.ts';

/**
 * How long before the expiry the server sends a notice, for a token with at least twice that lifetime, milliseconds.
 */
const NOTICE_MS = 60_000;
/** Delay between attempts to renew a token: one second plus a growing random time. */
const RETRY = { baseMs: 1_000, maxMs: 30_000 };

/** The current token. A function is called once, and again only when the token has expired or is about to. */
export class TokenSource {
  /** Whether a new token is available. */
  readonly renewable: boolean;
  /** When the current token was obtained, milliseconds since 1970. */
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

  /** Rejects with `TOKEN_FAILED`, retryable, if the function fails; the next call then calls it again. */
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

  /** Requests a new token. The current one stays in use until {@link TokenSource.use}. */
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

  /** The server has accepted a new token. */
  use(token: string): void {
    this.#current = Promise.resolve(token);
    this.givenAt = this.#clock.now();
  }
}

/** Renews the token once for each expiry notice from the server. */
export class TokenRenewal {
  readonly #clock: Clock;
  readonly #tokens: TokenSource;
  readonly #renew: () => Promise<boolean>;
  readonly #report: (error: unknown) => void;
  #cancel: (() => void) | undefined;
  /** Incremented with every stop; results of older attempts are ignored. */
  #run = 0;

  /** @param renew resolves with whether the token has changed */
  constructor(clock: Clock, tokens: TokenSource, renew: () => Promise<boolean>, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#tokens = tokens;
    this.#renew = renew;
    this.#report = report;
  }

  /**
   * The server's expiry notice. Renews the token, but not before half of its lifetime: otherwise a notice for a token
   * obtained just now would immediately lead to the next token, and its notice.
   */
  expiring(expiresInMs: number): void {
    if (!this.#tokens.renewable || this.#cancel !== undefined) return;
    const now = this.#clock.now();
    const age = now - this.#tokens.givenAt;
    const life = age + expiresInMs;
    const wait = life < 2 * NOTICE_MS ? Math.max(0, life / 2 - age) : 0;
    // Spreads the renewals of clients that got their tokens at the same time.
    this.#schedule(wait + (this.#clock.random() * expiresInMs) / 10, now + expiresInMs, 0);
  }

  /** The token has changed or the connection was lost: the server will send a new notice. */
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
    // After the expiry the server closes with 4401, and the next connection requests a new token anyway.
    if (this.#clock.now() + wait < expiresAt) this.#schedule(wait, expiresAt, failures + 1);
  }
}

/** The `sub` of a JWT; undefined if it has none or is not a JWT. */
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
