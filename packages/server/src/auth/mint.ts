import { createPrivateKey, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT } from 'jose';
import { type Claims, principalFromClaims } from './claims.ts';
import { type Algorithm, assertFits, importSecret, KeyError } from './keys.ts';
import { MAX_TOKEN_LENGTH, type Verification, type Verifier } from './verifier.ts';

/** The signing key: the shared secret for HS256, an unencrypted PEM private key for the other algorithms. */
export type SigningKey =
  | { readonly algorithm: 'HS256'; readonly secret: string }
  | { readonly algorithm: Exclude<Algorithm, 'HS256'>; readonly privateKey: string };

/** Claims of a new token. Missing ones are omitted from it, with the defaults of PROTOCOL section 7. */
export interface TokenRequest {
  readonly sub?: string;
  /** The screen name, which the bearer cannot change. */
  readonly name?: string;
  readonly role?: string;
  readonly tenant?: string;
  /** Globs `room:channel`; an empty list allows nothing. */
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  /** Further permissions: globs by action, as in the claim `grants`. */
  readonly grants?: Readonly<Record<string, readonly string[]>>;
  /** Channels to join on connect, as `room:channel`. */
  readonly join?: readonly string[];
  readonly telemetry?: boolean;
  /** Allows jobs and webhooks that outlive the connection. */
  readonly durable?: boolean;
  /** A positive integer; missing: the token never expires. */
  readonly expiresInSeconds?: number;
  readonly issuer?: string;
  readonly audience?: string;
  /** The `kid` of the header, for servers with several keys. */
  readonly keyId?: string;
}

/** A decoded token. None of it can be trusted unless `verification` is ok. */
export interface TokenInspection {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Claims;
  /** Null if no verifier was given. */
  readonly verification: Verification | null;
}

/**
 * Creates a token for development and tests. Its claims are first checked by the server's rules, so that it cannot be
 * refused for them.
 *
 * @throws {ClaimError} naming the claim that a server would not accept.
 * @throws {KeyError} if the key is unreadable or does not fit the algorithm.
 * @throws {RangeError} if the lifetime is not a positive integer.
 */
export async function mintToken(key: SigningKey, request: TokenRequest): Promise<string> {
  const issuedAt = Math.floor(Date.now() / 1000);
  const claims: JWTPayload = {
    ...present('sub', request.sub),
    ...present('name', request.name),
    ...present('role', request.role),
    ...present('tenant_id', request.tenant),
    ...present('publish', request.publish),
    ...present('subscribe', request.subscribe),
    ...present('grants', request.grants),
    ...present('join', request.join),
    ...present('telemetry', request.telemetry),
    ...present('durable', request.durable),
    ...present('iss', request.issuer),
    ...present('aud', request.audience),
    iat: issuedAt,
    ...present('exp', expiry(issuedAt, request.expiresInSeconds)),
  };
  principalFromClaims(claims);
  const header = { alg: key.algorithm, typ: 'JWT', ...present('kid', request.keyId) };
  return new SignJWT(claims).setProtectedHeader(header).sign(importSigningKey(key));
}

/**
 * Decodes a token without trusting it; with a verifier, also returns the verdict of a server with that configuration.
 *
 * @throws {TypeError} if the text is not a signed JWT.
 */
export async function inspectToken(token: string, verifier?: Verifier): Promise<TokenInspection> {
  if (token.length > MAX_TOKEN_LENGTH) throw new TypeError(`A token has at most ${MAX_TOKEN_LENGTH} characters.`);
  const [header, claims] = decode(token);
  return { header, claims, verification: verifier === undefined ? null : await verifier.verify(token) };
}

function decode(token: string): [Readonly<Record<string, unknown>>, Claims] {
  try {
    return [{ ...decodeProtectedHeader(token) }, decodeJwt(token)];
  } catch {
    throw new TypeError('This is not a token: a JWT has three parts of base64url, separated by dots.');
  }
}

function importSigningKey(key: SigningKey): KeyObject {
  if (key.algorithm === 'HS256') return importSecret(key.secret);
  const privateKey = readPrivateKey(key.privateKey);
  assertFits(privateKey, key.algorithm, 'The private key');
  return privateKey;
}

function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The parser's error might quote the key.
    throw new KeyError('The private key is not an unencrypted PEM private key.');
  }
}

function expiry(issuedAt: number, lifetime: number | undefined): number | undefined {
  if (lifetime === undefined) return undefined;
  if (!Number.isSafeInteger(lifetime) || lifetime <= 0) {
    throw new RangeError('The lifetime of a token is a positive whole number of seconds.');
  }
  return issuedAt + lifetime;
}

function present<Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]: Value });
}
