import type { JsonObject } from '@arqonbus/protocol';
import type { Clock } from './clock.ts';
import { lostError, RequestError } from './errors.ts';
import type { Message } from './message.ts';
import { Pending, type WaitOptions } from './pending.ts';

/**
 * Who is meant: a client id, `sub:SUBJECT` for all connections of that subject, or up to 100 of them.
 *
 * ```ts
 * await client.send(['arq_client_1', 'sub:ada'], { text: 'psst' });
 * ```
 */
export type Target = string | readonly string[];

/**
 * Answers a request; what it returns becomes the reply's payload, nothing an empty one. A thrown {@link RequestError}
 * reaches the requester; any other error does not, since its text was not meant for others.
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

interface PrivateFields {
  id?: string;
  metadata?: JsonObject;
  requestId?: string;
  /** Takes back what has not been sent yet. */
  signal?: AbortSignal;
}

/** Sends a private envelope; resolves when the server has taken it. */
export type SendPrivate = (to: Target, payload: object, fields: PrivateFields) => Promise<unknown>;

interface Waiting {
  readonly pending: Pending<Message>;
  /** Whether the server has handed the request on. */
  taken: boolean;
}

/** `metadata` of a private envelope that wants a reply, and of a reply that is a failure. */
const REQUEST = 'request';
const FAILED = 'failed';

/**
 * Request and reply over private envelopes: a request carries `metadata.request: true`; its reply is a private
 * envelope with the `request_id` of the request, and with `metadata.failed: true` when it is `{error, error_code}`.
 */
export class Requests {
  readonly #clock: Clock;
  readonly #send: SendPrivate;
  readonly #report: (error: unknown) => void;
  readonly #waiting = new Map<string, Waiting>();
  readonly #answering = new Set<Promise<void>>();
  #handler: RequestHandler<never, object> | undefined;

  constructor(clock: Clock, send: SendPrivate, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#send = send;
    this.#report = report;
  }

  /** Resolves with the first reply. Rejects with the refusal, RequestError, TimeoutError or ConnectionError. */
  ask(
    to: Target,
    payload: object,
    id: string,
    metadata: JsonObject,
    wait: WaitOptions & { timeoutMs: number },
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
    this.#send(to, payload, { id, metadata: { ...metadata, [REQUEST]: true }, signal: withdraw.signal }).then(
      () => {
        waiting.taken = true;
      },
      (error: unknown) => pending.reject(error),
    );
    return pending.promise;
  }

  /** Sets the one handler of requests; returns the way to remove it. */
  handle<P, R extends object>(handler: RequestHandler<P, R>): () => void {
    const installed = handler as unknown as RequestHandler<never, object>;
    this.#handler = installed;
    return () => {
      if (this.#handler === installed) this.#handler = undefined;
    };
  }

  /** Takes a private envelope if it is a reply that is waited for, or a request for the handler. */
  take(message: Message): boolean {
    const { request_id: answered, metadata } = message.envelope;
    const pending = answered === undefined ? undefined : this.#waiting.get(answered)?.pending;
    if (pending !== undefined) {
      if (metadata?.[FAILED] === true) pending.reject(readFailure(message.payload));
      else pending.resolve(message);
      return true;
    }
    if (metadata?.[REQUEST] !== true || this.#handler === undefined) return false;
    const answering = this.#answer(message, this.#handler).finally(() => this.#answering.delete(answering));
    this.#answering.add(answering);
    return true;
  }

  /** Resolves when the requests that have come are answered. */
  async idle(): Promise<void> {
    while (this.#answering.size > 0) await Promise.all(this.#answering);
  }

  /** Replies go to the client id of the connection that asked; with it they are gone. */
  lost(closeCode: number): void {
    for (const [id, { pending, taken }] of this.#waiting) {
      // One that still waits for a line goes over the next; one on its way is the queue's to reject.
      if (taken) pending.reject(lostError(id, closeCode));
    }
  }

  fail(error: unknown): void {
    for (const { pending } of [...this.#waiting.values()]) pending.reject(error);
  }

  async #answer(message: Message, handler: RequestHandler<never, object>): Promise<void> {
    const fields: PrivateFields = { requestId: message.id };
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
    await this.#send(message.from, payload, fields).catch(this.#report);
  }
}

function readFailure({ error, error_code, ...details }: JsonObject): RequestError {
  return new RequestError(String(error_code), String(error), details);
}
