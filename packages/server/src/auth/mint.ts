import { createPrivateKey, type KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT } from 'jose';
import { type Claims, principalFromClaims } from './claims.ts';
import { type Algorithm, assertFits, importSecret, KeyError } from './keys.ts';
import { MAX_TOKEN_LENGTH, type Verification, type Verifier } from './verifier.ts';

/** What signs: the shared secret for HS256, an unencrypted private key in PEM for the other algorithms. */
export type SigningKey =
  | { readonly algorithm: 'HS256'; readonly secret: string }
  | { readonly algorithm: Exclude<Algorithm, 'HS256'>; readonly privateKey: string };

/** Claims of a token to be made; what is missing is left out of it, and means what PROTOCOL section 7 says. */
export interface TokenRequest {
  readonly sub?: string;
  /** The screen name that its bearer cannot change. */
  readonly name?: string;
  readonly role?: string;
  readonly tenant?: string;
  /** Globs `room:channel`; an empty list allows nothing. */
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  /** What else they may do: globs by action, as the claim `grants` lists them. */
  readonly grants?: Readonly<Record<string, readonly string[]>>;
  /** What they are made members of as soon as they connect: `room:channel`. */
  readonly join?: readonly string[];
  readonly telemetry?: boolean;
  /** May make jobs and webhooks that outlive their connections. */
  readonly durable?: boolean;
  /** A positive whole number; missing: the token never expires. */
  readonly expiresInSeconds?: number;
  readonly issuer?: string;
  readonly audience?: string;
  /** Goes into the header as `kid`, for servers that choose among several keys. */
  readonly keyId?: string;
}

/** A token taken apart. Nothing in it can be trusted unless `verification` says so. */
export interface TokenInspection {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Claims;
  /** Null when no verifier was given. */
  readonly verification: Verification | null;
}

/**
 * Makes a token for development and tests. Its claims are checked by the rules of the server first, so that no token
 * is made that would be refused for them.
 *
 * @throws {ClaimError} naming the claim that a server would not accept.
 * @throws {KeyError} when the key is unreadable or does not fit the algorithm.
 * @throws {RangeError} for a lifetime that is no positive whole number.
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
 * Takes a token apart without believing it; with a verifier, says also what a server with that configuration would.
 *
 * @throws {TypeError} when the text is no signed JWT at all.
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
    // The parser's own words might quote the key.
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
