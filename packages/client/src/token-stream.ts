import { type Address, type CommandResult, type Envelope, formatAddress, type SenderRecord } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { ArqonBusError, QueueFullError, RefusedError } from './errors.ts';
import type { HistoryOptions } from './history.ts';
import type { Message } from './message.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';

/** Maximum UTF-16 units sent in one append. */
const MOST = 65_536;
const HALF = /[\uD800-\uDBFF]$/;
/** Maximum UTF-16 units waiting to be sent. */
const MOST_WAITING = 4_194_304;
/** Number of keep-alive appends of an idle writer within the stream's time to live. */
const SIGNS = 3;
const RETRY_MS = 250;

/**
 * The options of a stream: an id to continue it later, and how long it stays open without its writer.
 *
 * ```ts
 * const stream = await client.openStream('talk:answers', { id: 'answer-7', ttlSeconds: 120 });
 * ```
 */
export interface StreamOptions extends WaitOptions {
  id?: string;
  /** 1 to 3,600 (default 30); this client renews it in time. */
  ttlSeconds?: number;
}

/**
 * The result of a closed stream: the position of the event with its full text.
 *
 * ```ts
 * const { sequence, length } = await stream.close();
 * ```
 */
export type StreamEnd = CommandResult<'stream.close'>;

/** What streams need from their client. */
export interface StreamHost {
  readonly ask: Ask;
  readonly clock: Clock;
  readonly onNotice: (listener: (notice: Envelope) => void) => () => void;
  /** Resolves with a function that stops listening. */
  readonly listen: (at: Address, to: StreamListener) => Promise<() => Promise<void>>;
  /** The newest events of a channel, newest first. */
  readonly newest: (at: Address, limit: number) => AsyncIterable<Message>;
}

export interface StreamListener {
  readonly message: (message: Pick<Message, 'payload' | 'envelope'>) => void;
  /** Messages may be missing. */
  readonly reset: () => void;
  readonly end: (error: unknown) => void;
}

/** The part of a client that streams use. */
interface StreamClient {
  on(event: 'notice', listener: (notice: Envelope) => void): () => void;
  subscribe(at: Address, options: SubscribeOptions): Promise<Subscription>;
  history(at: Address, options: HistoryOptions): AsyncIterable<Message>;
}

export function streamHost(client: StreamClient, ask: Ask, clock: Clock): StreamHost {
  return {
    ask,
    clock,
    onNotice: (listener) => client.on('notice', listener),
    listen: async (at, { message: onMessage, reset: onReset, end }) => {
      const subscription = await client.subscribe(at, { echo: true, onMessage, onReset });
      subscription.on('close', end);
      return () => subscription.close();
    },
    newest: (at, limit) => client.history(at, { order: 'newest-first', limit }),
  };
}

/** Opens a stream, or continues an open one. Rejects with the server's refusal. */
export async function openStream(
  host: StreamHost,
  at: Address,
  { id, ttlSeconds = 30, ...wait }: StreamOptions,
): Promise<TokenStream> {
  const opened = await host.ask('stream.open', { ...at, ...given({ id }), ttl_seconds: ttlSeconds }, wait);
  return new TokenStream(host, opened, ttlSeconds * 1000);
}

interface Append {
  left: number;
  error?: unknown;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A stream written by this client. Appends are sent in order, combined if they come faster than they are accepted; a
 * lost connection is waited out.
 *
 * ```ts
 * const stream = await client.openStream('talk:answers');
 * for await (const token of model) await stream.append(token);
 * await stream.close();
 * ```
 */
export class TokenStream {
  /**
   * ```ts
   * await client.publish('talk:answers', { answer: stream.id });
   * ```
   */
  readonly id: string;
  /**
   * `room:channel`.
   *
   * ```ts
   * console.log(stream.address); // talk:answers
   * ```
   */
  readonly address: string;
  readonly #host: StreamHost;
  readonly #ttlMs: number;
  readonly #stops: (() => void)[] = [];
  readonly #appends: Append[] = [];
  #pending = '';
  /** The first half of a surrogate pair whose second half is still missing. */
  #half = '';
  /** Its length at the server. */
  #offset = 0;
  #sending: Promise<void> | undefined;
  #isClosed = false;
  #cancelSign: () => void = () => {};

  /** @internal */
  constructor(host: StreamHost, opened: CommandResult<'stream.open'>, ttlMs: number) {
    this.#host = host;
    this.id = opened.stream_id;
    this.address = formatAddress(opened);
    this.#offset = opened.offset ?? 0;
    this.#ttlMs = ttlMs;
    this.#awaitSign();
  }

  /**
   * Its length at the server, in UTF-16 units; more than 0 at the start if the stream was reopened.
   *
   * ```ts
   * const missing = text.slice(stream.offset);
   * ```
   */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Appends text; resolves when the server has it. Rejects with the refusal, as do the other appends sent with it; the
   * stream continues without that text. Rejects with QueueFullError if 4 Mi UTF-16 units are already waiting.
   *
   * ```ts
   * await stream.append('Once upon ');
   * ```
   */
  append(text: string): Promise<void> {
    const all = this.#half + text;
    // A surrogate pair that arrives in two halves is sent whole.
    const isSplit = HALF.test(all);
    this.#half = isSplit ? all.slice(-1) : '';
    return this.#put(isSplit ? all.slice(0, -1) : all);
  }

  /**
   * Ends it once all appends were accepted; its full text is then stored as an event of the channel.
   *
   * ```ts
   * process.once('SIGINT', () => stream.close('cancelled'));
   * ```
   */
  async close(status: 'complete' | 'cancelled' | 'failed' = 'complete'): Promise<StreamEnd> {
    this.#put(this.#half).catch(() => {});
    this.#half = '';
    await this.#sending;
    this.#isClosed = true;
    try {
      return await this.#insist(() => this.#host.ask('stream.close', { stream_id: this.id, status }));
    } finally {
      this.#cancelSign();
      for (const stop of this.#stops) stop();
    }
  }

  /**
   * Calls back when a reader requests to stop (`client.command('stream.cancel', …)`); the writer decides.
   *
   * ```ts
   * stream.onCancel(() => generation.abort());
   * ```
   */
  onCancel(handler: (by: SenderRecord) => void): () => void {
    const stop = this.#host.onNotice(({ payload: { event, stream_id, by } }) => {
      if (event === 'stream_cancel' && stream_id === this.id) handler(by as SenderRecord);
    });
    this.#stops.push(stop);
    return stop;
  }

  #put(text: string): Promise<void> {
    if (text === '') return Promise.resolve();
    if (this.#pending.length + text.length > MOST_WAITING) {
      return Promise.reject(
        new QueueFullError(`${MOST_WAITING} UTF-16 units of a stream wait to go out; append slower.`),
      );
    }
    this.#pending += text;
    return new Promise((resolve, reject) => {
      this.#appends.push({ left: text.length, resolve, reject });
      this.#sending ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    while (this.#pending !== '') {
      const most = this.#pending.slice(0, MOST);
      const text = HALF.test(most) && most.length > 1 ? most.slice(0, -1) : most;
      try {
        this.#offset = (await this.#append(text)).offset;
        this.#advance(text.length);
      } catch (error) {
        try {
          if (!isPassing(error)) throw error;
          // If rate-limited, none of it was accepted, and an empty append would be another request.
          if (await this.#wasPaced(error)) continue;
          // The server has all of it or nothing; its length shows which.
          const { offset } = await this.#insist(() => this.#append(''));
          if (offset > this.#offset) this.#advance(text.length);
          this.#offset = offset;
        } catch (refused) {
          this.#advance(text.length, refused);
        }
      }
    }
    this.#sending = undefined;
    this.#awaitSign();
  }

  #append(text: string): Promise<CommandResult<'stream.append'>> {
    return this.#host.ask('stream.append', { stream_id: this.id, text });
  }

  #advance(units: number, error?: unknown): void {
    this.#pending = this.#pending.slice(units);
    for (let left = units; left > 0 && this.#appends.length > 0; ) {
      const first = this.#appends[0] as Append;
      const done = Math.min(left, first.left);
      left -= done;
      first.left -= done;
      first.error ??= error;
      if (first.left > 0) continue;
      this.#appends.shift();
      if (first.error === undefined) first.resolve();
      else first.reject(first.error);
    }
  }

  /** Retries until it is answered or permanently refused. */
  async #insist<R>(ask: () => Promise<R>): Promise<R> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!isPassing(error)) throw error;
        if (!(await this.#wasPaced(error))) await this.#pause(RETRY_MS);
      }
    }
  }

  /** Waits as long as a refusal says, if it does. */
  async #wasPaced(error: unknown): Promise<boolean> {
    if (!(error instanceof RefusedError) || error.retryAfterMs === undefined) return false;
    await this.#pause(Math.min(Math.max(error.retryAfterMs, 1), this.#ttlMs / SIGNS));
    return true;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => after(this.#host.clock, ms, resolve));
  }

  #awaitSign(): void {
    this.#cancelSign();
    if (this.#isClosed) return;
    this.#cancelSign = after(this.#host.clock, this.#ttlMs / SIGNS, () => {
      // A lost connection or the end of the stream is reported by appends.
      if (this.#sending === undefined) this.#append('').catch(() => {});
      this.#awaitSign();
    });
  }
}

/** Whether the call may be repeated: the connection was lost, or the failure is temporary. */
function isPassing(error: unknown): boolean {
  return error instanceof ArqonBusError && error.retryable;
}
