import { type Envelope, type JsonObject, type PartialAddress, WILDCARD } from '@arqonbus/protocol';
import { type AddressInput, readSource } from './address.ts';
import type { Since } from './cursors.ts';
import { TimeoutError } from './errors.ts';
import { type Message, toMessage } from './message.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { AskAnything } from './queue.ts';

/** Longest wait of one command, milliseconds. */
const MAX_WAIT_MS = 55_000;

/**
 * The position after a page of history: a sequence; for a whole room, one for each of its channels.
 *
 * ```ts
 * client.history('science', { after: { explore: 41, '*': 7 } });
 * ```
 */
export type HistoryCursor = number | Readonly<Record<string, number>>;

/**
 * Which part of a channel's history to read, and how.
 *
 * ```ts
 * client.history('science:explore', { order: 'newest-first', limit: 20 });
 * ```
 */
export interface HistoryOptions {
  /** Only messages after this sequence; for a whole room, after this cursor. */
  after?: HistoryCursor;
  /** Only messages before it. */
  before?: HistoryCursor;
  /** `oldest-first` (default) or `newest-first`; within a page messages are always oldest first on the wire. */
  order?: 'oldest-first' | 'newest-first';
  /** Messages per page (default 100, at most 500). */
  pageSize?: number;
  /** Total messages (default: all that are stored). */
  limit?: number;
  signal?: AbortSignal;
  /**
   * Per page, milliseconds (default: the client's `timeoutMs`; longer while a page is arriving on a slow connection).
   */
  timeoutMs?: number;
}

/** A page of history as the server sends it. */
interface WirePage {
  readonly messages: readonly Envelope[];
  readonly next?: HistoryCursor | null;
  readonly previous?: HistoryCursor | null;
  readonly position?: Since;
  readonly recovered?: boolean;
}

/**
 * A page of a channel's history, and the next position.
 *
 * ```ts
 * const { messages, position } = await client.wait('science:explore', { since });
 * ```
 */
export interface HistoryPage<P = JsonObject> {
  /** Oldest first; empty if none arrived in time. */
  readonly messages: readonly Message<P>[];
  /** The `since` of the next wait. */
  readonly position: Since | undefined;
  /** False: some missed messages are no longer stored. */
  readonly recovered: boolean;
}

/**
 * The position to wait after, and for how long.
 *
 * ```ts
 * await client.wait('science:explore', { since, timeoutMs: 50_000, limit: 100 });
 * ```
 */
export interface HistoryWaitOptions extends WaitOptions {
  /** A position, positions by channel, or a time. Default: from now on. */
  since?: Since | Date;
  /** Messages in the page (default 50, at most 500). */
  limit?: number;
}

/** Default wait of {@link waitForHistory}, milliseconds. */
const DEFAULT_WAIT_MS = 30_000;

/**
 * Waits for messages after `since`, without joining.
 *
 * @param graceMs extra time for an answer beyond its wait
 */
export async function waitForHistory<P>(
  ask: AskAnything,
  at: AddressInput,
  options: HistoryWaitOptions,
  graceMs: number,
  now: () => number,
): Promise<HistoryPage<P>> {
  const { since, limit = 50, timeoutMs = DEFAULT_WAIT_MS, signal } = options;
  const place = storedPlace(at);
  const end = now() + timeoutMs;
  let from: unknown = since instanceof Date ? { time: since.toISOString() } : since;
  if (from === undefined) {
    // With a wait, the channel need not exist yet; a wait of 0 returns at once.
    const now = { ...place, limit: 1, wait_ms: 0 };
    from = ((await ask('history', now, { signal })) as unknown as WirePage).position;
  }
  for (;;) {
    const waitMs = Math.min(MAX_WAIT_MS, Math.max(0, Math.round(end - now())));
    const args = { ...place, since: from, limit, wait_ms: waitMs };
    const page = (await ask('history', args, { signal, timeoutMs: waitMs + graceMs })) as unknown as WirePage;
    const { messages, position, recovered = true } = page;
    if (messages.length > 0 || !recovered || end - now() <= 0) {
      return { messages: messages.map((envelope) => toMessage<P>(envelope as never)), position, recovered };
    }
    from = position ?? from;
  }
}

/** `room` alone means all its channels, merged by time; `room:*` only room-wide messages. */
function storedPlace(at: AddressInput): PartialAddress {
  const { room, channel } = readSource(at);
  const isWhole = channel === WILDCARD && !namesChannel(at);
  return isWhole ? { room } : { room, channel };
}

function namesChannel(at: AddressInput): boolean {
  return typeof at === 'string' ? at.includes(':') : at.channel !== undefined;
}

/**
 * A channel's history, fetched page by page while it is iterated: message by message, or in {@link History.pages}. A
 * page that takes too long is requested again in smaller parts.
 *
 * ```ts
 * for await (const { payload } of client.history('science:explore')) console.log(payload);
 * ```
 */
export class History<P = JsonObject> implements AsyncIterable<Message<P>> {
  readonly #ask: AskAnything;
  readonly #place: PartialAddress;
  readonly #options: HistoryOptions;
  #position: Since | undefined;

  constructor(ask: AskAnything, at: AddressInput, options: HistoryOptions) {
    this.#ask = ask;
    this.#place = storedPlace(at);
    this.#options = options;
  }

  /**
   * The position of the last fetched page, for `since` of `wait` and `subscribe`.
   *
   * ```ts
   * const since = history.position;
   * ```
   */
  get position(): Since | undefined {
    return this.#position;
  }

  /** Iterates messages. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message<P>, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /**
   * Iterates non-empty pages in the requested order.
   *
   * ```ts
   * for await (const page of client.history('science:explore').pages()) await insertAll(page);
   * ```
   */
  async *pages(): AsyncGenerator<Message<P>[], void, undefined> {
    const { after, before, order, signal, timeoutMs } = this.#options;
    const isForward = order !== 'newest-first';
    const [least, most] = [sequenceIn(after, 0), sequenceIn(before, Number.POSITIVE_INFINITY)];
    let { pageSize = 100 } = this.#options;
    let left = this.#options.limit ?? Number.POSITIVE_INFINITY;
    // For a whole room, the oldest page is the one without a cursor.
    let from: HistoryCursor | null | undefined = isForward ? (after ?? (this.#isWhole ? {} : 0)) : before;
    let isFirst = true;
    while ((isFirst || (from !== null && from !== undefined)) && left > 0) {
      const cursor = given(isForward ? { after: from } : { before: from });
      let result: WirePage;
      try {
        const args = { ...this.#place, limit: Math.min(pageSize, left), ...cursor };
        result = (await this.#ask('history', args, { signal, timeoutMs })) as unknown as WirePage;
      } catch (error) {
        if (!(error instanceof TimeoutError) || pageSize <= 1) throw error;
        pageSize = Math.ceil(pageSize / 4);
        continue;
      }
      isFirst = false;
      this.#position = result.position ?? this.#position;
      const messages = result.messages.map((envelope) => toMessage<P>(envelope as never));
      const page = messages.filter(({ sequence = 0 }) => this.#isWhole || (sequence > least && sequence < most));
      if (page.length > 0) yield isForward ? page : page.reverse();
      left -= page.length;
      // A page with messages outside the range is the last one.
      from = page.length < messages.length ? null : isForward ? result.next : result.previous;
    }
  }

  get #isWhole(): boolean {
    return this.#place.channel === undefined;
  }
}

function sequenceIn(cursor: HistoryCursor | undefined, otherwise: number): number {
  return typeof cursor === 'number' ? cursor : otherwise;
}
