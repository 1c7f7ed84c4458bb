import {
  createRemoteJWKSet,
  customFetch,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';

/** How long a fetched key set is trusted without asking again, in milliseconds. */
export const KEY_SET_MAX_AGE_MS = 600_000;
/** Least time between two fetches that unknown key ids cause: what strangers can make this server do to its issuer. */
export const KEY_SET_COOLDOWN_MS = 5_000;
/** Least time from a failed fetch to the next one. */
export const KEY_SET_RETRY_MS = 1_000;
/** Longest wait for the key set's server, in milliseconds. */
export const KEY_SET_TIMEOUT_MS = 5_000;

/** The key set could not be had. The message holds no part of a token. */
export class KeySetUnavailable extends Error {
  override readonly name = 'KeySetUnavailable';
}

/**
 * A key set at a URL: fetched by the first token, kept for {@link KEY_SET_MAX_AGE_MS}, and fetched again when a token
 * names an unknown key id (a rotation), at most once in {@link KEY_SET_COOLDOWN_MS}. Concurrent tokens share a fetch.
 *
 * While the server is unreachable, keys that are still fresh go on verifying; every other token is refused by
 * {@link KeySetUnavailable}. Redirects are not followed.
 */
export function openRemoteKeySet(url: URL): JWTVerifyGetKey {
  return createRemoteJWKSet(url, {
    cacheMaxAge: KEY_SET_MAX_AGE_MS,
    cooldownDuration: KEY_SET_COOLDOWN_MS,
    timeoutDuration: KEY_SET_TIMEOUT_MS,
    [customFetch]: fetchWithPause(),
  });
}

/** The shape of RFC 7517 section 5, as far as it must hold before single keys are looked at. */
export function isKeySet(document: unknown): document is JSONWebKeySet {
  if (typeof document !== 'object' || document === null || !('keys' in document)) return false;
  return Array.isArray(document.keys) && document.keys.every((key) => typeof key === 'object' && key !== null);
}

/** jose pauses after a success only: a flood of tokens during an outage would become a flood of fetches. */
function fetchWithPause(): FetchImplementation {
  let failedAt = Number.NEGATIVE_INFINITY;
  return async (url, options) => {
    if (Date.now() - failedAt < KEY_SET_RETRY_MS) throw new KeySetUnavailable('the last fetch failed a moment ago');
    try {
      const response = await fetch(url, options);
      if (response.status !== 200) throw new KeySetUnavailable(`HTTP status ${response.status}`);
      // Read here, so that a body that breaks off or holds something else counts as a failure as well.
      const document: unknown = await response.json();
      if (!isKeySet(document)) throw new KeySetUnavailable('the answer is not a JWK set');
      return Response.json(document);
    } catch (error) {
      failedAt = Date.now();
      throw error instanceof KeySetUnavailable ? error : new KeySetUnavailable(describe(error));
    }
  };
}

function describe(error: unknown): string {
  const { name, cause } = error as Error;
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? name;
}
