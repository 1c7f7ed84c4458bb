import { createHash, timingSafeEqual } from 'node:crypto';
import { API_KEY_SUBJECT, type Principal } from '@arqonbus/bus';

/** Gives the operator's principal for the right key, null for any other or none. */
export type ApiKeyCheck = (presented: string | undefined) => Principal | null;

/**
 * Compares in constant time: both sides are hashed first, so neither the length nor the place of the first difference
 * shows. An empty `expected` means that no key is configured, and nothing matches it.
 */
export function createApiKeyCheck(expected: string): ApiKeyCheck {
  if (expected === '') return () => null;
  const wanted = sha256(expected);
  return (presented) => {
    if (presented === undefined) return null;
    return timingSafeEqual(sha256(presented), wanted) ? API_KEY_PRINCIPAL : null;
  };
}

const API_KEY_PRINCIPAL: Principal = Object.freeze({
  subject: API_KEY_SUBJECT,
  name: 'api-key',
  role: 'admin',
  tenant: 'default',
  grants: null,
  expiresAt: null,
  telemetry: true,
  durable: true,
  operator: true,
});

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
