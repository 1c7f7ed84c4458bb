import { replaceSurrogates } from './surrogates.ts';

export type ErrorCode =
  | 'INVALID_JSON'
  | 'VALIDATION_ERROR'
  | 'UNSUPPORTED_VERSION'
  | 'UNKNOWN_TYPE'
  | 'NO_ROUTE'
  | 'NOT_JOINED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'CHANNEL_NOT_EMPTY'
  | 'PROTECTED_CHANNEL'
  | 'TARGET_NOT_FOUND'
  | 'COMMAND_NOT_FOUND'
  | 'AUTHENTICATION_FAILED'
  | 'AUTHORIZATION_ERROR'
  | 'RATE_LIMITED'
  | 'LIMIT_EXCEEDED'
  | 'CONFLICT'
  | 'LEASE_LOST'
  | 'SEQUENCE_GAP'
  | 'STORAGE_UNAVAILABLE'
  | 'FEATURE_DISABLED'
  | 'NO_RESPONDERS'
  | 'MAILBOX_FULL'
  | 'SCHEMA_MISMATCH'
  | 'LOOP_DETECTED'
  | 'CASIL_POLICY_BLOCKED_SECRET'
  | 'CASIL_POLICY_OVERSIZE'
  | 'CASIL_INTERNAL_ERROR'
  | 'INTERNAL_ERROR';

export interface ErrorEntry {
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** The corresponding HTTP status. */
  readonly status: number;
  readonly meaning: string;
}

/**
 * The catalogue of refusals (PROTOCOL section 8): every `error_code`, whether the same request may
 * succeed later, and the corresponding HTTP status.
 */
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = {
  INVALID_JSON: { retryable: false, status: 400, meaning: 'The frame is not a JSON object.' },
  VALIDATION_ERROR: { retryable: false, status: 400, meaning: 'A field is missing, mistyped or out of bounds.' },
  UNSUPPORTED_VERSION: {
    retryable: false,
    status: 400,
    meaning: 'The protocol version of the envelope is not supported.',
  },
  UNKNOWN_TYPE: { retryable: false, status: 400, meaning: 'The envelope type does not exist.' },
  NO_ROUTE: { retryable: false, status: 400, meaning: 'No room or channel was given, and the client has joined none.' },
  NOT_JOINED: { retryable: false, status: 403, meaning: 'Publishing to this channel requires membership.' },
  NOT_FOUND: { retryable: false, status: 404, meaning: 'The addressed object does not exist.' },
  ALREADY_EXISTS: { retryable: false, status: 409, meaning: 'An object of that name exists already.' },
  CHANNEL_NOT_EMPTY: { retryable: true, status: 409, meaning: 'The channel still has members.' },
  PROTECTED_CHANNEL: { retryable: false, status: 403, meaning: 'The channel is built in and cannot be deleted.' },
  TARGET_NOT_FOUND: { retryable: true, status: 404, meaning: 'No addressed client is connected.' },
  COMMAND_NOT_FOUND: { retryable: false, status: 404, meaning: 'The command does not exist.' },
  AUTHENTICATION_FAILED: { retryable: false, status: 401, meaning: 'The credentials are missing, expired or invalid.' },
  AUTHORIZATION_ERROR: { retryable: false, status: 403, meaning: 'The role or the grants do not allow this.' },
  RATE_LIMITED: { retryable: true, status: 429, meaning: 'Too many messages; wait for retry_after_ms.' },
  LIMIT_EXCEEDED: { retryable: false, status: 409, meaning: 'A limit is reached.' },
  CONFLICT: { retryable: true, status: 409, meaning: 'The stored version is not the expected one.' },
  LEASE_LOST: {
    retryable: false,
    status: 409,
    meaning: 'The lease has ended, and another holder may have what it was for.',
  },
  SEQUENCE_GAP: { retryable: false, status: 409, meaning: 'The requested history has a hole.' },
  STORAGE_UNAVAILABLE: {
    retryable: true,
    status: 503,
    meaning: 'The storage backend is unavailable, and strict mode is on.',
  },
  FEATURE_DISABLED: { retryable: false, status: 403, meaning: 'The feature is disabled on this server.' },
  NO_RESPONDERS: { retryable: true, status: 503, meaning: 'No client is connected that answers requests.' },
  MAILBOX_FULL: { retryable: true, status: 429, meaning: 'The mailbox is full.' },
  SCHEMA_MISMATCH: { retryable: false, status: 422, meaning: "The payload does not match the channel's schema." },
  LOOP_DETECTED: { retryable: false, status: 409, meaning: 'The chain of messages that led to this one is too long.' },
  CASIL_POLICY_BLOCKED_SECRET: { retryable: false, status: 422, meaning: 'The message contains a probable secret.' },
  CASIL_POLICY_OVERSIZE: {
    retryable: false,
    status: 422,
    meaning: 'Payload and metadata exceed the limit of the policy.',
  },
  CASIL_INTERNAL_ERROR: {
    retryable: false,
    status: 422,
    meaning: 'Inspection failed and the policy blocks by default.',
  },
  INTERNAL_ERROR: {
    retryable: true,
    status: 500,
    meaning: 'The server failed; error_id identifies the cause in its log.',
  },
};

/** Maximum depth at which surrogates in details are replaced. */
const DETAIL_LEVELS = 8;

/** Details for programs: `field`, `expected`, `retry_after_ms`, … They become members of the error's `payload`. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** Codes counted as protocol violations: {@link MAX_VIOLATIONS} in a minute close the connection with 1008. */
export const VIOLATIONS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INVALID_JSON',
  'VALIDATION_ERROR',
  'UNKNOWN_TYPE',
  'UNSUPPORTED_VERSION',
]);

/**
 * A refusal that is sent to the peer. `message` is one actionable sentence. Any other exception
 * becomes `INTERNAL_ERROR`, and its text stays in the server's log.
 */
export class BusError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    // An excerpt of a sender's text may have been cut in the middle of a surrogate pair.
    super(message.toWellFormed());
    this.name = 'BusError';
    this.code = code;
    this.details = replaceSurrogates(details, DETAIL_LEVELS);
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}
