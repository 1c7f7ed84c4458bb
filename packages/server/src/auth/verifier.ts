import type { Principal } from '@arqonbus/bus';
import { errors, type JWTVerifyOptions, type JWTVerifyResult, jwtVerify } from 'jose';
import { CLOCK_LEEWAY_SECONDS, ClaimError, type Claims, own, principalFromClaims } from './claims.ts';
import { KeySetUnavailable, type KeySource } from './jwks.ts';
import { type KeyOptions, openKeys } from './keys.ts';

/** Longest token that is looked at, in characters: 8 KiB. */
export const MAX_TOKEN_LENGTH = 8_192;
/** Most keys of a set that are tried for one token, where its key id does not single one out. */
export const MAX_KEYS_TRIED = 16;
/** A token that ends sooner than this is expired already: nobody is let in to be cut off in the same second. */
const LEAST_REMAINING_MS = 1_000;

/** What the verifier needs of the configuration's `auth` section; empty texts mean "not set". */
export interface VerifierOptions extends KeyOptions {
  /** The only `iss` that is accepted; empty: not looked at. */
  readonly issuer: string;
  /** An `aud` that the token must name; empty: not looked at. */
  readonly audience: string;
}

/** All that a stranger learns of a refusal (PROTOCOL section 1). */
type RefusalReason = 'missing token' | 'token expired' | 'invalid token';

export type Verification =
  | { readonly ok: true; readonly principal: Principal; readonly claims: Claims }
  /** `internal` is for the log alone: it says which check failed and holds neither token nor key. */
  | { readonly ok: false; readonly reason: RefusalReason; readonly internal: string };

export interface Verifier {
  /** Never throws and never rejects: what cannot be verified is refused. */
  verify(token: string | null | undefined): Promise<Verification>;
}

/**
 * Builds the one judge of tokens for bus, telemetry and HTTP.
 *
 * @throws {KeyError} when the configured key is missing, unreadable or does not fit the algorithm.
 */
export async function createVerifier(options: VerifierOptions): Promise<Verifier> {
  const keys = await openKeys(options);
  const checks: JWTVerifyOptions = {
    // The token's own `alg` must equal this and has no other say: neither "none" nor a public key taken as a secret.
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

/** jose's verification; when no known key signed the token, once more with the keys of now. */
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

/** Key ids are optional (RFC 7515 section 4.1.4): where several keys may have signed a token, each is tried. */
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
        // The claims are looked at after the signature, so this was the key; anything else is a key that does not fit.
        if (failed instanceof errors.JWTExpired || failed instanceof errors.JWTClaimValidationFailed) throw failed;
      }
    }
    throw new errors.JWSSignatureVerificationFailed(`signed by none of the ${tried} keys that were tried`);
  }
}

function assertIssuedInThePast(iat: unknown): void {
  // jose has made sure that it is a number or missing; it looks at its value only to limit a token's age.
  if (typeof iat === 'number' && iat > Date.now() / 1000 + CLOCK_LEEWAY_SECONDS) {
    throw new ClaimError('"iat" is in the future');
  }
}

function judge(error: unknown): Verification {
  // jose verifies the signature before it looks at times, so only the bearer of a real token hears "expired".
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
