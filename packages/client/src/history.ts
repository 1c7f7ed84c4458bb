import type { Address, CommandArgs, CommandResult, JsonObject } from '@arqonbus/protocol';
import { TimeoutError } from './errors.ts';
import { type Message, toMessage } from './message.ts';

/**
 * Which part of a channel's history to read, and how.
 *
 * ```ts
 * client.history('science:explore', { order: 'newest-first', limit: 20 });
 * ```
 */
export interface HistoryOptions {
  /** Only what comes after this sequence. */
  after?: number;
  /** Only what comes before this sequence. */
  before?: number;
  /** `oldest-first` (default) or `newest-first`; within a page messages are always oldest first on the wire. */
  order?: 'oldest-first' | 'newest-first';
  /** Messages asked for at a time (default 100, at most 500). */
  pageSize?: number;
  /** Messages in all (default: as many as are kept). */
  limit?: number;
  signal?: AbortSignal;
  /** Per page, milliseconds (default: the client's `timeoutMs`; longer while a page is arriving on a slow line). */
  timeoutMs?: number;
}

export type AskHistory = (args: CommandArgs<'history'>) => Promise<CommandResult<'history'>>;

/**
 * A channel's history, fetched page by page while it is iterated: message by message, or in {@link History.pages}. A
 * page that takes too long is asked for again in smaller ones.
 *
 * ```ts
 * for await (const { payload } of client.history('science:explore')) console.log(payload);
 * ```
 */
export class History<P = JsonObject> implements AsyncIterable<Message<P>> {
  readonly #ask: AskHistory;
  readonly #at: Address;
  readonly #options: HistoryOptions;

  constructor(ask: AskHistory, at: Address, options: HistoryOptions) {
    this.#ask = ask;
    this.#at = at;
    this.#options = options;
  }

  /** Iterates messages. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message<P>, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /**
   * Iterates pages, none of them empty, in the order asked for.
   *
   * ```ts
   * for await (const page of client.history('science:explore').pages()) await insertAll(page);
   * ```
   */
  async *pages(): AsyncGenerator<Message<P>[], void, undefined> {
    const { after = 0, before = Number.POSITIVE_INFINITY, order } = this.#options;
    const isForward = order !== 'newest-first';
    let { pageSize = 100 } = this.#options;
    let left = this.#options.limit ?? Number.POSITIVE_INFINITY;
    // A sequence, or of a room a map of them.
    let from: CommandResult<'history'>['next'] | undefined = isForward ? after : before;
    while (from !== null && from !== undefined && left > 0) {
      const cursor: CommandArgs<'history'> = isForward
        ? { after: from }
        : from === Number.POSITIVE_INFINITY
          ? {}
          : { before: from };
      let result: CommandResult<'history'>;
      try {
        result = await this.#ask({ ...this.#at, limit: Math.min(pageSize, left), ...cursor });
      } catch (error) {
        if (!(error instanceof TimeoutError) || pageSize <= 1) throw error;
        pageSize = Math.ceil(pageSize / 4);
        continue;
      }
      const messages = result.messages.map((envelope) => toMessage<P>(envelope as never));
      const page = messages.filter(({ sequence = 0 }) => sequence > after && sequence < before);
      if (page.length > 0) yield isForward ? page : page.reverse();
      left -= page.length;
      // A page with something out of bounds is the last one.
      from = page.length < messages.length ? null : isForward ? result.next : result.previous;
    }
  }
}
