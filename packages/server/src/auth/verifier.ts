import type { Principal } from '@arqonbus/bus';
import { errors, type JWTVerifyOptions, type JWTVerifyResult, jwtVerify } from 'jose';
import { CLOCK_LEEWAY_SECONDS, ClaimError, type Claims, own, principalFromClaims } from './claims.ts';
import { KeySetUnavailable, type KeySource } from './jwks.ts';
import { type KeyOptions, openKeys } from './keys.ts';

/** Maximum token length, in characters: 8 KiB. */
export const MAX_TOKEN_LENGTH = 8_192;
/** Maximum keys of a set tried for one token, if its key id does not identify one. */
export const MAX_KEYS_TRIED = 16;
/**
 * A token with less time left counts as expired, rather than being accepted and disconnected within the same second.
 */
const LEAST_REMAINING_MS = 1_000;

/** The verifier's part of the `auth` configuration; empty strings mean "not set". */
export interface VerifierOptions extends KeyOptions {
  /** The only accepted `iss`; empty: not checked. */
  readonly issuer: string;
  /** The required `aud`; empty: not checked. */
  readonly audience: string;
}

/** The only reasons shown to an unauthenticated client (PROTOCOL section 1). */
type RefusalReason = 'missing token' | 'token expired' | 'invalid token';

export type Verification =
  | { readonly ok: true; readonly principal: Principal; readonly claims: Claims }
  /** `internal` is for the log only: it says which check failed, and contains neither token nor key. */
  | { readonly ok: false; readonly reason: RefusalReason; readonly internal: string };

export interface Verifier {
  /** Never throws or rejects: a token that cannot be verified is refused. */
  verify(token: string | null | undefined): Promise<Verification>;
}

/**
 * Creates the token verifier shared by bus, telemetry and HTTP.
 *
 * @throws {KeyError} if the configured key is missing, unreadable or does not fit the algorithm.
 */
export async function createVerifier(options: VerifierOptions): Promise<Verifier> {
  const keys = await openKeys(options);
  const checks: JWTVerifyOptions = {
    // The token's own `alg` must match and has no other effect, which rules out "none" and public keys used as secrets.
    algorithms: [options.jwtAlgorithm],
    clockTolerance: CLOCK_LEEWAY_SECONDS,
    ...(options.issuer === '' ? {} : { issuer: options.issuer }),
    ...(options.audience === '' ? {} : { audience: options.audience }),
  };
  return {
    async verify(token) {
      if (token === null || token === undefined || token === '') return refuse('missing token', 'no token was sent');
      if (token.length > MAX_TOKEN_LENGTH) return refuse('invalid token', `longer than ${MAX_TOKEN_LENGTH} characters`);
      try {
        const { payload } = await verifySigned(token, keys, checks);
        assertIssuedInThePast(own(payload, 'iat'));
        const principal = principalFromClaims(payload);
        const { expiresAt } = principal;
        if (expiresAt !== null && expiresAt - Date.now() < LEAST_REMAINING_MS) return EXPIRED;
        return { ok: true, principal, claims: payload };
      } catch (error) {
        return judge(error);
      }
    },
  };
}

/** Verifies with jose; if no known key signed the token, retries once with refetched keys. */
async function verifySigned(token: string, keys: KeySource, checks: JWTVerifyOptions): Promise<JWTVerifyResult> {
  try {
    return await tryKeys(token, keys, checks);
  } catch (error) {
    const isUnknown =
      error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed;
    if (!isUnknown || !(await keys.renew())) throw error;
    return tryKeys(token, keys, checks);
  }
}

/** Key ids are optional (RFC 7515 section 4.1.4): if several keys may have signed a token, each is tried. */
async function tryKeys(token: string, { getKey }: KeySource, checks: JWTVerifyOptions): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(token, getKey, checks);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    let tried = 0;
    for await (const key of error) {
      if (tried === MAX_KEYS_TRIED) break;
      tried += 1;
      try {
        return await jwtVerify(token, key, checks);
      } catch (failed) {
        // Claims are checked after the signature, so this was the right key; any other error means a wrong key.
        if (failed instanceof errors.JWTExpired || failed instanceof errors.JWTClaimValidationFailed) throw failed;
      }
    }
    throw new errors.JWSSignatureVerificationFailed(`signed by none of the ${tried} keys that were tried`);
  }
}

function assertIssuedInThePast(iat: unknown): void {
  // jose has checked the type already, but not that the time is in the past.
  if (typeof iat === 'number' && iat > Date.now() / 1000 + CLOCK_LEEWAY_SECONDS) {
    throw new ClaimError('"iat" is in the future');
  }
}

function judge(error: unknown): Verification {
  // jose verifies the signature before the times, so only the bearer of a genuine token gets "expired".
  if (error instanceof errors.JWTExpired) return EXPIRED;
  if (error instanceof ClaimError) return refuse('invalid token', `claim ${error.message}`);
  if (error instanceof KeySetUnavailable)
    return refuse('invalid token', `the key set is unavailable: ${error.message}`);
  if (error instanceof errors.JOSEError) return refuse('invalid token', `${error.code}: ${error.message}`);
  return refuse('invalid token', error instanceof Error ? error.name : 'unreadable');
}

function refuse(reason: RefusalReason, internal: string): Verification {
  return { ok: false, reason, internal };
}

const EXPIRED: Verification = refuse('token expired', '"exp" has passed');
