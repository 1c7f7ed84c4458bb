import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';

/** How long a fetched key set stays valid, in milliseconds. */
export const KEY_SET_MAX_AGE_MS = 600_000;
/** Minimum time between two fetches caused by tokens: limits the load that clients can put on the issuer. */
export const KEY_SET_COOLDOWN_MS = 5_000;
/** Minimum time between a failed fetch and the next one. */
export const KEY_SET_RETRY_MS = 1_000;
/** Timeout for fetching the key set, in milliseconds. */
const KEY_SET_TIMEOUT_MS = 5_000;
/** Maximum size of a key set response, in bytes. */
export const MAX_KEY_SET_BYTES = 1_048_576;
/** Maximum keys of a set; each token is compared with all of them. */
export const MAX_KEYS = 1_000;

/** The key set could not be fetched. The message contains no part of a token. */
export class KeySetUnavailable extends Error {
  override readonly name = 'KeySetUnavailable';
}

/** A source of verification keys. */
export interface KeySource {
  /**
   * The key named by a token's header; throws jose's `JWKSMultipleMatchingKeys`, which lists the candidates, if several
   * match.
   */
  readonly getKey: JWTVerifyGetKey;
  /** Refetches the keys because none of them matched a token; false if there can be no newer ones yet. */
  renew(): Promise<boolean>;
}

/** A fixed key set. Keys without an id may have signed any token, even one that names a key. */
export function localKeySet(document: JSONWebKeySet): KeySource {
  const byId = createLocalJWKSet(document);
  const nameless = createLocalJWKSet({ keys: document.keys.filter(({ kid }) => kid === undefined) });
  return {
    getKey: async (header, token) => {
      try {
        return await byId(header, token);
      } catch (error) {
        const { kid, ...rest } = header;
        if (kid === undefined || !(error instanceof errors.JWKSNoMatchingKey)) throw error;
        return nameless(rest, token);
      }
    },
    renew: async () => false,
  };
}

/**
 * A key set at a URL: fetched for the first token, cached for {@link KEY_SET_MAX_AGE_MS}, and refetched when no key
 * matches a token (a rotation), at most once per {@link KEY_SET_COOLDOWN_MS}. Concurrent tokens share one fetch.
 *
 * While the URL is unreachable, keys that are still fresh continue to verify tokens; other tokens are refused with
 * {@link KeySetUnavailable}. Redirects are not followed.
 */
export function remoteKeySet(url: URL): KeySource {
  let current = localKeySet({ keys: [] });
  const remote = createRemoteJWKSet(url, {
    cacheMaxAge: KEY_SET_MAX_AGE_MS,
    cooldownDuration: KEY_SET_COOLDOWN_MS,
    timeoutDuration: KEY_SET_TIMEOUT_MS,
    [customFetch]: fetchWithPause((document) => {
      current = localKeySet(document);
    }),
  });
  return {
    getKey: async (header, token) => {
      if (!remote.fresh) await remote.reload();
      return current.getKey(header, token);
    },
    renew: async () => {
      if (remote.coolingDown) return false;
      await remote.reload();
      return true;
    },
  };
}

/** Checks the shape of RFC 7517 section 5; individual keys are checked later. */
export function isKeySet(document: unknown): document is JSONWebKeySet {
  if (typeof document !== 'object' || document === null || !('keys' in document)) return false;
  return Array.isArray(document.keys) && document.keys.every((key) => typeof key === 'object' && key !== null);
}

/** jose only pauses after a success: without this, many tokens during an outage would cause many fetches. */
function fetchWithPause(onFetched: (document: JSONWebKeySet) => void): FetchImplementation {
  let failedAt = Number.NEGATIVE_INFINITY;
  return async (url, options) => {
    if (Date.now() - failedAt < KEY_SET_RETRY_MS) throw new KeySetUnavailable('the last fetch failed a moment ago');
    try {
      const response = await fetch(url, options);
      if (response.status !== 200) throw new KeySetUnavailable(`HTTP status ${response.status}`);
      // Read here so that a truncated or invalid body also counts as a failure.
      const document: unknown = JSON.parse(await readText(response));
      if (!isKeySet(document)) throw new KeySetUnavailable('the answer is not a JWK set');
      if (document.keys.length > MAX_KEYS) {
        throw new KeySetUnavailable(`it holds ${document.keys.length} keys, and at most ${MAX_KEYS} are taken`);
      }
      onFetched(document);
      return Response.json(document);
    } catch (error) {
      failedAt = Date.now();
      throw error instanceof KeySetUnavailable ? error : new KeySetUnavailable(describe(error));
    }
  };
}

async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_KEY_SET_BYTES) throw new KeySetUnavailable(`the answer is larger than ${MAX_KEY_SET_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function describe(error: unknown): string {
  const { name, cause } = error as Error;
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? name;
}
