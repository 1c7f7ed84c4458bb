import type { Agent } from 'undici';
import type { Clock } from '../../clock.ts';
import { signatureHeaders } from '../../outbound/signature.ts';
import type { Delivery } from './delivery.ts';
import type { Rule } from './rule.ts';

/** Bytes read from a response before the connection is closed. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Statuses besides 5xx that a retry may change. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 429]);

/** The outcome of one request. */
export type AttemptOutcome =
  | { readonly ok: true; readonly status: number }
  | {
      readonly ok: false;
      /** Null without a response. */
      readonly status: number | null;
      /** Human-readable, without parts of the request, the response body or the address. */
      readonly error: string;
      readonly retryable: boolean;
      readonly retryAfterMs?: number;
    };

export interface Requester {
  readonly agent: Agent;
  readonly clock: Clock;
  readonly userAgent: string;
}

/**
 * Posts a delivery once. The rule's timeout covers connecting, headers and body of the response. Never rejects; when
 * `stop` aborts, ignore the outcome.
 */
export async function attempt(
  { agent, clock, userAgent }: Requester,
  rule: Rule,
  delivery: Delivery,
  stop: AbortSignal,
): Promise<AttemptOutcome> {
  const cancel = new AbortController();
  const abandon = (): void => cancel.abort(new Error('stopped'));
  const expire = (): void => cancel.abort(new TimeoutError(rule.timeoutSeconds));
  stop.addEventListener('abort', abandon, { once: true });
  const callOff = clock.after(rule.timeoutSeconds * 1000, expire);
  // A request waiting for a connection ignores the signal until it has one.
  const cancelled = new Promise<never>((_resolve, reject) => {
    cancel.signal.addEventListener('abort', () => reject(cancel.signal.reason), { once: true });
  });
  try {
    return await Promise.race([exchange(agent, rule, delivery, userAgent, clock, cancel.signal), cancelled]);
  } catch (error) {
    return failure(error);
  } finally {
    callOff();
    stop.removeEventListener('abort', abandon);
  }
}

class TimeoutError extends Error {
  constructor(seconds: number) {
    super(`no answer within ${seconds} s`);
  }
}

async function exchange(
  agent: Agent,
  rule: Rule,
  delivery: Delivery,
  userAgent: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<AttemptOutcome> {
  const { url, key } = rule;
  const body = delivery.body();
  const headers = ['user-agent', userAgent, ...rule.headers.flat(), 'content-type', 'application/json'];
  if (key !== null) headers.push(...Object.entries(signatureHeaders(key, delivery.id, clock.now(), body)).flat());
  const answer = await agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'POST',
    headers,
    body,
    signal,
    // The single timeout above covers everything.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal });
  return judge(answer.statusCode, retryAfter(answer.headers['retry-after'], clock.now()));
}

function judge(status: number, retryAfterMs: number | undefined): AttemptOutcome {
  if (status >= 200 && status < 300) return { ok: true, status };
  const retryable = status >= 500 || TRANSIENT.has(status);
  const error = status >= 300 && status < 400 ? `HTTP ${status}: redirects are not followed` : `HTTP ${status}`;
  return { ok: false, status, error, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** Error codes that a retry would not change. */
const FINAL: ReadonlySet<string> = new Set(['FORBIDDEN_ADDRESS', 'UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED']);
const SENTENCES: Readonly<Record<string, string>> = {
  FORBIDDEN_ADDRESS: 'the host does not resolve to public addresses only',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed',
  UND_ERR_SOCKET: 'connection closed',
  UND_ERR_CONNECT_TIMEOUT: 'no connection',
  ETIMEDOUT: 'no connection',
  ENOTFOUND: 'host name not found',
  ENODATA: 'host name not found',
};

/** Network error messages contain addresses, which may be internal: only codes are reported. */
function failure(error: unknown): AttemptOutcome {
  if (error instanceof TimeoutError) return { ok: false, status: null, error: error.message, retryable: true };
  const { code } = error as { code?: unknown };
  const known = typeof code === 'string' ? code : 'UNKNOWN';
  return {
    ok: false,
    status: null,
    error: SENTENCES[known] ?? `request failed (${known})`,
    retryable: !FINAL.has(known),
  };
}

const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
const LONGEST_RETRY_AFTER_MS = 300_000;

/**
 * The delay after the `failures`-th failure in a row (from 1), in milliseconds: doubles from one second to one minute.
 * The upper half is random, so that rules which failed together do not retry together.
 *
 * @param random a number from 0 to below 1
 * @param retryAfterMs the delay requested by the endpoint; it can only lengthen the delay
 */
export function retryDelay(failures: number, random: number, retryAfterMs = 0): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return Math.max(whole / 2 + (whole / 2) * random, retryAfterMs);
}

/**
 * `Retry-After` in milliseconds from `now`: seconds or an HTTP date (RFC 9110 section 10.2.3), at most five minutes;
 * undefined when missing or invalid.
 */
export function retryAfter(value: string | readonly string[] | undefined, now: number): number | undefined {
  const text = (typeof value === 'string' ? value : value?.[0])?.trim();
  if (text === undefined || text === '') return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : httpDate(text) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), LONGEST_RETRY_AFTER_MS);
}

/** Requires a weekday and GMT: Date.parse alone accepts far more than HTTP allows. */
function httpDate(text: string): number {
  return /^[A-Z][a-z]+, .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
}
