import { createPublicKey, createSecretKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { JWK } from 'jose';
import { isKeySet, type KeySource, localKeySet, remoteKeySet } from './jwks.ts';

/** The configurable algorithms; a token's own `alg` never selects one. */
export type Algorithm = 'HS256' | 'RS256' | 'ES256' | 'EdDSA';

/** The sources of verification keys. The algorithm determines which one is used; an empty string means not set. */
export interface KeyOptions {
  readonly jwtAlgorithm: Algorithm;
  /** For HS256 only. */
  readonly jwtSecret: string;
  /** Path of a PEM public key, X.509 certificate, JWK or JWK set; like `jwksUrl`, for the other algorithms. */
  readonly publicKeyFile: string;
  readonly jwksUrl: string;
}

/** A key setting that cannot be used to verify tokens safely. The message says what to change and contains no key. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** Minimum RSA key size for RS256 (RFC 7518 section 3.3), in bits. */
const MIN_RSA_BITS = 2048;

/**
 * Opens the key source for the configured algorithm. A file is read now; a key set at a URL is fetched for the first
 * token, so that the bus can start while its identity provider is down.
 *
 * @throws {KeyError} if that source is missing, is given twice, or does not fit the algorithm.
 */
export async function openKeys(options: KeyOptions): Promise<KeySource> {
  const { jwtAlgorithm: algorithm, jwtSecret, publicKeyFile, jwksUrl } = options;
  if (algorithm === 'HS256') {
    return singleKey(importSecret(jwtSecret));
  }
  if ((publicKeyFile === '') === (jwksUrl === '')) {
    throw new KeyError(
      `${algorithm} needs its public key from one place: set either ARQONBUS_AUTH_PUBLIC_KEY_FILE or ARQONBUS_AUTH_JWKS_URL.`,
    );
  }
  if (jwksUrl !== '') return remoteKeySet(parseKeySetUrl(jwksUrl));
  return importPublicKeys(await readKeyFile(publicKeyFile), algorithm, publicKeyFile);
}

/**
 * The HS256 key for a secret. Refuses a public key as the secret, because anyone could sign tokens with it.
 *
 * @throws {KeyError} for an empty secret, or key material of another algorithm.
 */
export function importSecret(secret: string): KeyObject {
  if (secret === '') throw new KeyError('HS256 needs a secret: set ARQONBUS_AUTH_JWT_SECRET.');
  if (secret.includes('-----BEGIN ') || /"kty"\s*:/.test(secret)) {
    throw new KeyError(
      'The HS256 secret looks like a PEM or JWK key; use a random secret, or choose the algorithm of that key.',
    );
  }
  return createSecretKey(secret, 'utf8');
}

/**
 * Parses public keys from the text of a file: PEM (public key or certificate), one JWK, or a JWK set. If both have a
 * `kid`, the token's must be in the set; a key without an id may have signed any token. A PEM key has no id, so `kid`
 * is ignored. Only the key of a certificate is used.
 *
 * @param name shown in messages for the text: its path.
 * @throws {KeyError} for anything unreadable, private, weak, or of another algorithm.
 */
export function importPublicKeys(text: string, algorithm: Algorithm, name: string): KeySource {
  if (text.trimStart().startsWith('{')) return importJwks(text, algorithm, name);
  if (text.includes('PRIVATE KEY-----')) throw secretInFile(name);
  const key = readable(() => createPublicKey(text), name);
  assertFits(key, algorithm, name);
  return singleKey(key);
}

/** Always uses this key, whatever the token's header says. */
function singleKey(key: KeyObject): KeySource {
  return { getKey: () => key, renew: async () => false };
}

/** @throws {KeyError} if tokens of `algorithm` cannot be signed or verified with `key`. */
export function assertFits(key: KeyObject, algorithm: Algorithm, name: string): void {
  const type = key.asymmetricKeyType;
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  if (algorithm === 'RS256' && type === 'rsa') {
    if (modulusLength >= MIN_RSA_BITS) return;
    throw new KeyError(`${name} is an RSA key of ${modulusLength} bits; RS256 needs ${MIN_RSA_BITS}.`);
  }
  if (algorithm === 'ES256' && type === 'ec' && namedCurve === 'prime256v1') return;
  if (algorithm === 'EdDSA' && type === 'ed25519') return;
  const needed = { RS256: 'an RSA key', ES256: 'a P-256 key', EdDSA: 'an Ed25519 key', HS256: 'a secret' }[algorithm];
  throw new KeyError(`${name} does not fit ${algorithm}, which needs ${needed}.`);
}

function importJwks(text: string, algorithm: Algorithm, name: string): KeySource {
  const document = readable(() => JSON.parse(text) as object, name);
  if (!isKeySet(document)) {
    const jwk: JWK = document;
    const key = importJwk(jwk, algorithm, name);
    return jwk.kid === undefined ? singleKey(key) : localKeySet({ keys: [jwk] });
  }
  if (document.keys.some(holdsSecret)) throw secretInFile(name);
  // A set may also contain keys for other purposes; jose selects by `kid`, `alg` and `use` for each token.
  if (!document.keys.some((jwk) => isUsable(jwk, algorithm))) {
    throw new KeyError(`${name} holds no key for verifying ${algorithm}.`);
  }
  return localKeySet(document);
}

function importJwk(jwk: JWK, algorithm: Algorithm, name: string): KeyObject {
  if (holdsSecret(jwk)) throw secretInFile(name);
  if ((jwk.alg ?? algorithm) !== algorithm || (jwk.use ?? 'sig') !== 'sig') {
    throw new KeyError(`${name} is a key for something else than verifying ${algorithm}.`);
  }
  const key = readable(() => createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }), name);
  assertFits(key, algorithm, name);
  return key;
}

function isUsable(jwk: JWK, algorithm: Algorithm): boolean {
  try {
    importJwk(jwk, algorithm, '');
    return true;
  } catch {
    return false;
  }
}

/** `d` is the private part of every asymmetric key, `k` a symmetric key. */
function holdsSecret(jwk: JWK): boolean {
  return jwk.d !== undefined || jwk.k !== undefined;
}

function secretInFile(name: string): KeyError {
  return new KeyError(
    `${name} holds a private key or a secret: give the server the public key and keep the other with the issuer.`,
  );
}

/** Parser errors quote their input, which may be a key here, so they are not passed on. */
function readable<T>(parse: () => T, name: string): T {
  try {
    return parse();
  } catch {
    throw new KeyError(`${name} is not a PEM public key, a certificate, a JWK or a JWK set.`);
  }
}

async function readKeyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new KeyError(`The public key file ${path} cannot be read (${code}); check ARQONBUS_AUTH_PUBLIC_KEY_FILE.`);
  }
}

function parseKeySetUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new KeyError('ARQONBUS_AUTH_JWKS_URL must be an https:// or http:// address.');
  }
  if (url.username !== '' || url.password !== '') {
    throw new KeyError('ARQONBUS_AUTH_JWKS_URL must not hold a user name or a password.');
  }
  return url;
}
