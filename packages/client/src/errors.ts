import type { Envelope, ErrorCode, JsonObject } from '@arqonbus/protocol';

/**
 * Codes of failures in the client; a server's refusals carry an {@link ErrorCode}.
 *
 * ```ts
 * client.on('error', ({ code }) => {
 *   if (code === 'CLOSED') process.exit(1);
 * });
 * ```
 */
export type ClientErrorCode =
  | 'CONNECTION_FAILED'
  | 'CONNECTION_LOST'
  | 'NOT_CONNECTED'
  | 'CLOSED'
  | 'TIMEOUT'
  | 'QUEUE_FULL'
  | 'MESSAGE_TOO_LARGE'
  | 'ID_IN_USE'
  | 'OUTCOME_UNKNOWN'
  | 'INVALID_FRAME'
  | 'INVALID_ARGUMENT'
  | 'TOKEN_FAILED'
  | 'FEATURE_MISSING'
  | 'LISTENER_FAILED';

/**
 * The base of all errors of this package, except the reason of an `AbortSignal`, which is thrown
 * unchanged. Branch on `code`; `retryable` tells whether the same call may succeed later.
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 }).catch((error) => {
 *   if (!(error instanceof ArqonBusError && error.retryable)) throw error;
 * });
 * ```
 */
export class ArqonBusError extends Error {
  override name = 'ArqonBusError';
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: ClientErrorCode | ErrorCode | (string & {}), message: string, retryable = false, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
  }
}

/** What is known about a connection that failed or was lost. */
export interface ConnectionFailure {
  /** HTTP status of a refused handshake; not available in browsers. */
  readonly status?: number | undefined;
  /** WebSocket close code; 1006 if the connection broke without one. */
  readonly closeCode?: number | undefined;
  readonly cause?: unknown;
}

/**
 * No connection: it failed (`CONNECTION_FAILED` or the server's code), was lost (`CONNECTION_LOST`), was never opened
 * (`NOT_CONNECTED`) or the client is closed (`CLOSED`).
 *
 * ```ts
 * await client.connect().catch((error) => {
 *   if (error instanceof ConnectionError) console.log(error.status, error.closeCode);
 * });
 * ```
 */
export class ConnectionError extends ArqonBusError {
  override name = 'ConnectionError';
  readonly status: number | undefined;
  readonly closeCode: number | undefined;

  constructor(code: string, message: string, retryable: boolean, failure: ConnectionFailure = {}) {
    super(code, message, retryable, failure.cause);
    this.status = failure.status;
    this.closeCode = failure.closeCode;
  }
}

/**
 * The token is missing, expired or refused, and there is no other one: HTTP 401, or close code 4401.
 *
 * ```ts
 * await client.connect().catch((error) => {
 *   if (error instanceof AuthenticationError) location.assign('/login');
 * });
 * ```
 */
export class AuthenticationError extends ConnectionError {
  override name = 'AuthenticationError';
}

/**
 * No answer in time; it is unknown whether the request took effect. A publish may be repeated with the same `id` within
 * 120 seconds, because the server stores it once (PROTOCOL section 6).
 *
 * ```ts
 * await client.publish(at, payload).catch((error) => {
 *   if (error instanceof TimeoutError && error.id) return client.publish(at, payload, { id: error.id });
 *   throw error;
 * });
 * ```
 */
export class TimeoutError extends ArqonBusError {
  override name = 'TimeoutError';
  /** Id of the unanswered envelope, if there was one. */
  readonly id: string | undefined;

  constructor(message: string, id?: string) {
    super('TIMEOUT', message, true);
    this.id = id;
  }
}

/**
 * The server refused an envelope (PROTOCOL section 8): `code` is its `error_code`.
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 }).catch((error) => {
 *   if (error instanceof RefusedError) console.log(error.code, error.details, error.retryAfterMs);
 * });
 * ```
 */
export class RefusedError extends ArqonBusError {
  override name = 'RefusedError';
  /** The refusal's `payload`: `field`, `expected`, `error_id`, … */
  readonly details: JsonObject;
  /** Id of the refused envelope, if the server could read it. */
  readonly requestId: string | undefined;

  constructor(envelope: Envelope) {
    const code = envelope.error_code ?? 'INTERNAL_ERROR';
    const details = envelope.payload ?? {};
    super(code, envelope.error ?? 'The server refused the request.', details.retryable === true);
    this.details = details;
    this.requestId = envelope.request_id;
  }

  /** How long to wait before the next attempt (`RATE_LIMITED`), milliseconds. */
  get retryAfterMs(): number | undefined {
    const wait = this.details.retry_after_ms;
    return typeof wait === 'number' ? wait : undefined;
  }
}

/**
 * A command was answered with `status: "error"`.
 *
 * ```ts
 * await client.deleteChannel('science:explore').catch((error) => {
 *   if (error instanceof CommandError && error.code === 'CHANNEL_NOT_EMPTY') console.log(error.command);
 * });
 * ```
 */
export class CommandError extends RefusedError {
  override name = 'CommandError';
  readonly command: string;

  constructor(envelope: Envelope, command: string) {
    super(envelope);
    this.command = command;
  }
}

/**
 * A lease, or the lease of a delivery, had ended before the request (`LEASE_LOST`): another client may have
 * it now.
 *
 * ```ts
 * await message.ack().catch((error) => {
 *   if (error instanceof LeaseLostError) undo(message);
 * });
 * ```
 */
export class LeaseLostError extends CommandError {
  override name = 'LeaseLostError';
}

/**
 * No connected client answers such requests (`NO_RESPONDERS`).
 *
 * ```ts
 * await client.request('math:add', { a: 1, b: 2 }).catch((error) => {
 *   if (error instanceof NoRespondersError) console.log('the calculator is away');
 * });
 * ```
 */
export class NoRespondersError extends RefusedError {
  override name = 'NoRespondersError';
}

/**
 * The mailbox is full until its owner has handled some of its mail (`MAILBOX_FULL`).
 *
 * ```ts
 * await client.send('@ada', { text: 'one more' }).catch((error) => {
 *   if (error instanceof MailboxFullError) console.log(error.details.pending);
 * });
 * ```
 */
export class MailboxFullError extends RefusedError {
  override name = 'MailboxFullError';
}

/**
 * The payload does not match the channel's schema (`SCHEMA_MISMATCH`).
 *
 * ```ts
 * await client.publish('shop:orders', order).catch((error) => {
 *   if (error instanceof SchemaMismatchError) console.log(error.details);
 * });
 * ```
 */
export class SchemaMismatchError extends RefusedError {
  override name = 'SchemaMismatchError';
}

/**
 * The chain of messages that caused this one is too long (`LOOP_DETECTED`).
 *
 * ```ts
 * await client.publish('a:b', payload).catch((error) => {
 *   if (error instanceof LoopDetectedError) console.log(error.message);
 * });
 * ```
 */
export class LoopDetectedError extends RefusedError {
  override name = 'LoopDetectedError';
}

const BY_CODE: Readonly<Record<string, new (envelope: Envelope) => RefusedError>> = {
  NO_RESPONDERS: NoRespondersError,
  MAILBOX_FULL: MailboxFullError,
  SCHEMA_MISMATCH: SchemaMismatchError,
  LOOP_DETECTED: LoopDetectedError,
};

/** The error for a refusal: a specific class for some codes, otherwise the general class of its kind. */
export function refusal(envelope: Envelope, command?: string): RefusedError {
  const { error_code: code = '' } = envelope;
  if (command !== undefined) {
    return new (code === 'LEASE_LOST' ? LeaseLostError : CommandError)(envelope, command);
  }
  return new (BY_CODE[code] ?? RefusedError)(envelope);
}

/**
 * The unsent messages have reached the limit of messages or bytes of the option `queue`.
 *
 * ```ts
 * await client.publish('science:explore', { n: 1 }).catch((error) => {
 *   if (error instanceof QueueFullError) console.log(client.queued);
 * });
 * ```
 */
export class QueueFullError extends ArqonBusError {
  override name = 'QueueFullError';

  constructor(message: string) {
    super('QUEUE_FULL', message, true);
  }
}

/**
 * The failure of a request between clients. A request handler throws one to answer with this `code` and `message`;
 * the requester's `request()` rejects with one.
 *
 * ```ts
 * client.onRequest(() => {
 *   throw new RequestError('OUT_OF_TEA', 'No tea left.', { until: 'noon' });
 * });
 * ```
 */
export class RequestError extends ArqonBusError {
  override name = 'RequestError';
  /** Further details from the responder. */
  readonly details: JsonObject;

  constructor(code: string, message: string, details: JsonObject = {}) {
    super(code, message, details.retryable === true);
    this.details = details;
  }
}

/** The connection was lost, and with it the answer to `what`. */
export function lostError(what: string, closeCode: number): ConnectionError {
  const message = `The line broke before the answer to ${what}; it may have had effect.`;
  return new ConnectionError('CONNECTION_LOST', message, true, { closeCode });
}

export function closedError(): ConnectionError {
  return new ConnectionError('CLOSED', 'The client is closed; make a new one.', false);
}

export function invalidArgument(message: string): ArqonBusError {
  return new ArqonBusError('INVALID_ARGUMENT', message);
}
