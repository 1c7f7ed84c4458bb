import { checkOrigin } from '@arqonbus/bus';

/** Seconds for which a browser may remember the answer to a preflight. */
const MAX_AGE_SECONDS = 600;

/** The headers that let the page of a listed origin read an answer; none for any other. */
export function corsHeaders(origin: string | undefined, allowed: readonly string[]): readonly [string, string][] {
  if (allowed.length === 0) return [];
  const vary: [string, string] = ['Vary', 'Origin'];
  if (origin === undefined || !isListed(origin, allowed)) return [vary];
  return [vary, ['Access-Control-Allow-Origin', origin]];
}

/** Whether an OPTIONS request is a browser's question before the request proper. */
export function isPreflight(headers: Headers): boolean {
  return headers.has('origin') && headers.has('access-control-request-method');
}

export function preflightHeaders(methods: string): Record<string, string> {
  return {
    'Access-Control-Allow-Methods': methods,
    'Access-Control-Allow-Headers': 'Authorization, Content-Type, X-API-Key',
    'Access-Control-Max-Age': String(MAX_AGE_SECONDS),
  };
}

/** Without a host of its own to compare with, the rule of origins comes down to the list. */
function isListed(origin: string, allowedOrigins: readonly string[]): boolean {
  const rule = { listeningOnLoopback: false, allowedOrigins, allowedHosts: [] };
  return checkOrigin({ ...rule, origin, host: undefined }) === null;
}
