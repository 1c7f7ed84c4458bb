import type { IncomingHttpHeaders } from 'node:http';

/** Query parameters that can carry a token, in lookup order. */
export const TOKEN_PARAMETERS: readonly string[] = ['token', 'access_token', 'auth_token'];
/** Parameters whose values are never logged: tokens and other credentials. */
const SECRET_PARAMETERS: ReadonlySet<string> = new Set([
  ...TOKEN_PARAMETERS,
  'refresh_token',
  'client_key',
  'api_key',
  'x-api-key',
]);
const SUBPROTOCOL_PREFIX = 'bearer.';
const BEARER = /^bearer +(\S+)$/i;
/** Anything that starts like a JWT header, anywhere in the text. */
const JWT_LIKE = /eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?/g;
const MASK = '***';

/**
 * Finds the token of a request, in the order of the protocol: `Authorization: Bearer T`, a subprotocol entry
 * `bearer.T`, the query's `token`, `access_token` or `auth_token` (PROTOCOL section 1). The first one found is used,
 * valid or not. Returns null if there is none; other authorization schemes and empty values are ignored.
 *
 * @param url the request target as the client sent it (`request.url`).
 */
export function extractToken(headers: IncomingHttpHeaders, url: string): string | null {
  return (
    fromAuthorization(headers.authorization) ?? fromSubprotocols(headers['sec-websocket-protocol']) ?? fromQuery(url)
  );
}

/**
 * The token in the cookie `name`, accepted only with an `Origin` header: browsers send cookies with requests from any
 * page, so the caller must have checked that page's origin. Null for an empty `name`.
 */
export function tokenFromCookie({ cookie, origin }: IncomingHttpHeaders, name: string): string | null {
  if (name === '' || cookie === undefined || origin === undefined) return null;
  for (const pair of cookie.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    const bare = value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    if (bare !== '') return bare;
  }
  return null;
}

/**
 * The request target with secret values masked, for logs. Names are compared decoded, so `%74oken=` is masked like
 * `token=`; everything else is unchanged.
 */
export function redactUrl(url: string): string {
  const mark = url.indexOf('?');
  if (mark < 0) return maskTokens(url);
  const parameters = url
    .slice(mark + 1)
    .split('&')
    .map(redactParameter);
  return maskTokens(`${url.slice(0, mark)}?${parameters.join('&')}`);
}

function fromAuthorization(header: string | undefined): string | null {
  return header === undefined ? null : (BEARER.exec(header.trim())?.[1] ?? null);
}

function fromSubprotocols(header: string | undefined): string | null {
  if (header === undefined) return null;
  for (const entry of header.split(',')) {
    const offered = entry.trim();
    if (offered.startsWith(SUBPROTOCOL_PREFIX) && offered.length > SUBPROTOCOL_PREFIX.length) {
      return offered.slice(SUBPROTOCOL_PREFIX.length);
    }
  }
  return null;
}

function fromQuery(url: string): string | null {
  const mark = url.indexOf('?');
  if (mark < 0) return null;
  const query = new URLSearchParams(url.slice(mark + 1));
  for (const name of TOKEN_PARAMETERS) {
    const value = query.get(name);
    if (value !== null && value !== '') return value;
  }
  return null;
}

function redactParameter(parameter: string): string {
  const equals = parameter.indexOf('=');
  if (equals < 0) return parameter;
  const [name] = new URLSearchParams(parameter).keys();
  return SECRET_PARAMETERS.has(name?.toLowerCase() ?? '') ? `${parameter.slice(0, equals)}=${MASK}` : parameter;
}

function maskTokens(text: string): string {
  return text.replace(JWT_LIKE, MASK);
}
