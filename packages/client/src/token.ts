import { ConnectionError } from './errors.ts';
import type { TokenOption } from './options.ts';

/** The token in use. A function is asked once, and again only after {@link TokenSource.forget}. */
export class TokenSource {
  /** Whether a fresh token can be had. */
  readonly renewable: boolean;
  readonly #option: TokenOption | undefined;
  #current: Promise<string | undefined> | undefined;

  constructor(option: TokenOption | undefined) {
    this.#option = option;
    this.renewable = typeof option === 'function';
  }

  /** Rejects with `TOKEN_FAILED`, retryable, when the function fails; it is then asked again next time. */
  current(): Promise<string | undefined> {
    this.#current ??= this.#ask();
    return this.#current;
  }

  /** The token has expired or was refused. */
  forget(): void {
    this.#current = undefined;
  }

  /** A token that the server has just accepted. */
  use(token: string): void {
    this.#current = Promise.resolve(token);
  }

  async #ask(): Promise<string | undefined> {
    if (typeof this.#option !== 'function') return this.#option;
    try {
      return await this.#option();
    } catch (cause) {
      this.forget();
      const message = `The token function failed: ${cause instanceof Error ? cause.message : String(cause)}`;
      throw new ConnectionError('TOKEN_FAILED', message, true, { cause });
    }
  }
}
