import type { JsonObject, Metadata } from '@arqonbus/protocol';
import type { Clock } from './clock.ts';
import { lostError, RequestError } from './errors.ts';
import type { Message } from './message.ts';
import { Pending, type WaitOptions } from './pending.ts';

/** Maximum lifetime of a request at the server, milliseconds. */
export const MAX_REQUEST_MS = 300_000;

/**
 * The options of a responder at an address.
 *
 * ```ts
 * await client.onRequest('math:add', add, { group: 'calculators', prefetch: 4 });
 * ```
 */
export interface ServeOptions extends WaitOptions {
  /** Default: `serve`. */
  group?: string;
  /** Requests that are answered concurrently (default 16). */
  prefetch?: number;
}

/**
 * The recipients: a client id, `sub:SUBJECT` for all connections of that subject, or up to 100 of them.
 *
 * ```ts
 * await client.send(['arq_client_1', 'sub:ada'], { text: 'psst' });
 * ```
 */
export type Target = string | readonly string[];

/**
 * The options of a request. For an address (`room:channel`) it goes to one of its responders, in the group `serve`
 * unless another is named; anything else is a {@link Target}.
 *
 * ```ts
 * await client.request('math:add', { a: 1, b: 2 }, { timeoutMs: 2_000, group: 'calculators' });
 * ```
 */
export interface RequestOptions extends WaitOptions {
  /** `arq_…`; default: a fresh one. */
  id?: string;
  metadata?: Metadata;
  /** For an address: the group (default `serve`). */
  group?: string;
  /** For an address: nothing is stored. */
  ephemeral?: boolean;
}

/**
 * Answers a request. Its result becomes the reply's payload; undefined becomes an empty one. A thrown
 * {@link RequestError} reaches the requester. The text of any other error is not sent.
 *
 * ```ts
 * const add: RequestHandler<{ a: number; b: number }> = ({ a, b }) => ({ sum: a + b });
 * client.onRequest(add);
 * ```
 */
export type RequestHandler<P = JsonObject, R extends object = JsonObject> = (
  payload: P,
  message: Message<P>,
) => R | undefined | Promise<R | undefined>;

/** Sends a reply; resolves when the server has accepted it. */
export type SendReply = (
  to: string,
  payload: object,
  fields: { metadata?: JsonObject; requestId: string },
) => Promise<unknown>;

interface Waiting {
  readonly pending: Pending<Message>;
  /** Whether the server has accepted the request. */
  taken: boolean;
}

/** Key in the `metadata` of a failure reply. */
const FAILED = 'failed';

/**
 * Request and reply: the server marks a request with `metadata.request {deadline}`; an older server passes on the
 * client's marker, `true`. The reply is a private envelope with the `request_id` of the request, and with
 * `metadata.failed: true` if it is `{error, error_code}`.
 */
export class Requests {
  readonly #clock: Clock;
  readonly #reply: SendReply;
  readonly #report: (error: unknown) => void;
  readonly #waiting = new Map<string, Waiting>();
  readonly #answering = new Set<Promise<void>>();
  #handler: RequestHandler<never, object> | undefined;

  constructor(clock: Clock, reply: SendReply, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#reply = reply;
    this.#report = report;
  }

  /**
   * Sends a request; resolves with the first reply. Rejects with the refusal, RequestError, TimeoutError or
   * ConnectionError.
   *
   * @param send its signal withdraws an unsent request
   */
  ask(
    id: string,
    wait: WaitOptions & { timeoutMs: number },
    send: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<Message> {
    const withdraw = new AbortController();
    const pending: Pending<Message> = new Pending(this.#clock, wait.signal, () => {
      this.#waiting.delete(id);
      withdraw.abort();
    });
    if (pending.settled) return pending.promise;
    const waiting: Waiting = { pending, taken: false };
    this.#waiting.set(id, waiting);
    pending.arm(wait.timeoutMs, `answer to ${id}`, id);
    send(withdraw.signal).then(
      () => {
        waiting.taken = true;
      },
      (error: unknown) => pending.reject(error),
    );
    return pending.promise;
  }

  /** Sets the request handler; returns a function that removes it. */
  handle<P, R extends object>(handler: RequestHandler<P, R>): () => void {
    const installed = handler as unknown as RequestHandler<never, object>;
    this.#handler = installed;
    return () => {
      if (this.#handler === installed) this.#handler = undefined;
    };
  }

  /** Takes a private envelope if it is an awaited reply, or a request for the handler. */
  take(message: Message): boolean {
    const { request_id: answered, metadata } = message.envelope;
    const pending = answered === undefined ? undefined : this.#waiting.get(answered)?.pending;
    if (pending !== undefined) {
      if (metadata?.[FAILED] === true) pending.reject(readFailure(message.payload));
      else pending.resolve(message);
      return true;
    }
    if (!isRequest(metadata) || this.#handler === undefined) return false;
    void this.serve(message, this.#handler);
    return true;
  }

  /** Answers a request with the result of a handler; never rejects. */
  serve(message: Message, handler: RequestHandler<never, object>): Promise<void> {
    const answering = this.#answer(message, handler).finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
    return answering;
  }

  /** Resolves when all received requests are answered. */
  async idle(): Promise<void> {
    while (this.#answering.size > 0) await Promise.all(this.#answering);
  }

  /** Replies go to the client id of the lost connection, so they cannot arrive. */
  lost(closeCode: number): void {
    for (const [id, { pending, taken }] of this.#waiting) {
      // An unsent request goes over the next connection; one that is not yet accepted is rejected by the queue.
      if (taken) pending.reject(lostError(id, closeCode));
    }
  }

  fail(error: unknown): void {
    for (const { pending } of [...this.#waiting.values()]) pending.reject(error);
  }

  async #answer(message: Message, handler: RequestHandler<never, object>): Promise<void> {
    const fields: { metadata?: JsonObject; requestId: string } = { requestId: message.id };
    let payload: object = {};
    try {
      payload = (await handler(message.payload as never, message as Message<never>)) ?? payload;
    } catch (error) {
      const isTold = error instanceof RequestError;
      if (!isTold) this.#report(error);
      const {
        code,
        message: text,
        details,
      } = isTold ? error : new RequestError('INTERNAL_ERROR', 'The request failed.');
      payload = { ...details, error: text, error_code: code };
      fields.metadata = { [FAILED]: true };
    }
    await this.#reply(message.from, payload, fields).catch(this.#report);
  }
}

/** Whether an envelope is a request. */
export function isRequest(metadata: JsonObject | undefined): boolean {
  const { request } = metadata ?? {};
  return request === true || (typeof request === 'object' && request !== null);
}

function readFailure({ error, error_code, ...details }: JsonObject): RequestError {
  return new RequestError(String(error_code), String(error), details);
}
