import type { ServerResponse } from 'node:http';
import { BusError, ERRORS, type ErrorCode, type ErrorDetails, errorPayload } from '@arqonbus/protocol';

/** The result of a route that is more than its usual status and a JSON body. */
export class Reply {
  readonly status: number;
  /** An object is sent as JSON, a string unchanged. */
  readonly body: object | string;
  readonly headers: Readonly<Record<string, string>>;
  /** Runs once the response is sent or its connection is closed. */
  readonly afterwards: (() => void) | undefined;

  constructor(
    status: number,
    body: object | string,
    headers: Readonly<Record<string, string>> = {},
    afterwards?: () => void,
  ) {
    this.status = status;
    this.body = body;
    this.headers = headers;
    this.afterwards = afterwards;
  }
}

/** The result of a route that writes the response itself: `open` is called with the common headers set. */
export class Takeover {
  /** May throw a refusal before it writes anything. */
  readonly open: (response: ServerResponse) => void;

  constructor(open: (response: ServerResponse) => void) {
    this.open = open;
  }
}

/** A refusal with a more specific HTTP status, or with headers. */
export class HttpRefusal extends BusError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(code, message, details);
    this.status = status;
    this.headers = headers;
  }
}

/** The body of every HTTP error: one sentence, a code of the catalogue, and machine-readable details. */
export function problem(error: BusError): Reply {
  const { code, message, details } = error;
  const body = { error: message, error_code: code, details: errorPayload(code, details) };
  if (error instanceof HttpRefusal) return new Reply(error.status, body, error.headers);
  const retryAfterMs = details.retry_after_ms;
  const headers: Record<string, string> =
    typeof retryAfterMs === 'number' ? { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) } : {};
  return new Reply(ERRORS[code].status, body, headers);
}
