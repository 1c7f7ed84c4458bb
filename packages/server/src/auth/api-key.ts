import { createHash, timingSafeEqual } from 'node:crypto';
import { API_KEY_SUBJECT, type Principal } from '@arqonbus/bus';

/** Returns the operator's principal for the right key, null for a wrong or missing one. */
export type ApiKeyCheck = (presented: string | undefined) => Principal | null;

/**
 * Compares in constant time: both sides are hashed first, which hides the length and the position of the first
 * difference. An empty `expected` means that no key is configured, and nothing matches it.
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
