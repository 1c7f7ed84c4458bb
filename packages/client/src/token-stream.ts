import { type Address, type CommandResult, type Envelope, formatAddress, type SenderRecord } from '@arqonbus/protocol';
import { after, type Clock } from './clock.ts';
import { ArqonBusError, QueueFullError, RefusedError } from './errors.ts';
import type { HistoryOptions } from './history.ts';
import type { Message } from './message.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';

/** Appends of so many UTF-16 units go out as one. */
const MOST = 65_536;
const HALF = /[\uD800-\uDBFF]$/;
/** UTF-16 units that may wait to go out. */
const MOST_WAITING = 4_194_304;
/** A writer that is silent says so often within its time that it is there. */
const SIGNS = 3;
const RETRY_MS = 250;

/**
 * How to open a stream: with an id of one's own to go on with it later, and how long it stays open without a writer.
 *
 * ```ts
 * const stream = await client.openStream('talk:answers', { id: 'answer-7', ttlSeconds: 120 });
 * ```
 */
export interface StreamOptions extends WaitOptions {
  id?: string;
  /** 1 to 3,600 (default 30); this client says in time that it is there. */
  ttlSeconds?: number;
}

/**
 * What became of a stream: where the event with its whole text is.
 *
 * ```ts
 * const { sequence, length } = await stream.close();
 * ```
 */
export type StreamEnd = CommandResult<'stream.close'>;

/** What streams need of their client. */
export interface StreamHost {
  readonly ask: Ask;
  readonly clock: Clock;
  readonly onNotice: (listener: (notice: Envelope) => void) => () => void;
  /** Resolves with the way to stop. */
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

/** A client as streams use it. */
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

/** Opens a stream, or goes on with one that is open. Rejects with the server's refusal. */
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
 * A stream that this client writes. What is appended goes out in order, together when it comes faster than it is taken;
 * a lost line is waited for.
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
  /** The first half of a character whose second is still to come. */
  #half = '';
  /** How long it is at the server. */
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
   * Its length at the server, in UTF-16 units; more than 0 at once when a stream was opened again.
   *
   * ```ts
   * const missing = text.slice(stream.offset);
   * ```
   */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Appends; resolves when the server has it. Rejects with what refuses it, for whatever else went out with it too; the
   * stream goes on without that. Rejects with QueueFullError when 4 Mi UTF-16 units wait already.
   *
   * ```ts
   * await stream.append('Once upon ');
   * ```
   */
  append(text: string): Promise<void> {
    const all = this.#half + text;
    // A character that comes in two halves goes out as one.
    const isSplit = HALF.test(all);
    this.#half = isSplit ? all.slice(-1) : '';
    return this.#put(isSplit ? all.slice(0, -1) : all);
  }

  /**
   * Ends it once all was taken: its whole text is an event of the channel from now on.
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
   * Calls back when a reader asks to stop (`client.command('stream.cancel', …)`); whether it does is the writer's.
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
          // Refused for the pace, none of it is there, and an empty append would be one more.
          if (await this.#wasPaced(error)) continue;
          // The server has all of it or nothing, which its length tells.
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

  /** Asks until it is answered or refused for good. */
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

  /** Waits for as long as a refusal says, if it says so. */
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
      // While the line is away, or when it has ended, appends tell.
      if (this.#sending === undefined) this.#append('').catch(() => {});
      this.#awaitSign();
    });
  }
}

/** Whether the same call may be made again: the line was lost, or the server could not do it now. */
function isPassing(error: unknown): boolean {
  return error instanceof ArqonBusError && error.retryable;
}
