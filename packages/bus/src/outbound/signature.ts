import { createHmac } from 'node:crypto';
import { BusError } from '@arqonbus/protocol';

const PREFIX = 'whsec_';
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;

/**
 * The key in a Standard Webhooks secret: `whsec_` and the base64 of 24 to 64 bytes. Throws VALIDATION_ERROR (field
 * `secret`) with a message that does not contain it.
 */
export function signingKey(secret: string): Buffer {
  const encoded = secret.slice(PREFIX.length);
  const key = Buffer.from(encoded, 'base64');
  // Node skips invalid base64 characters; reject keys that would become shorter than intended.
  const exact = key.toString('base64').replace(/=+$/, '') === encoded.replace(/=+$/, '');
  if (!secret.startsWith(PREFIX) || !exact || key.length < MIN_KEY_BYTES || key.length > MAX_KEY_BYTES) {
    throw new BusError('VALIDATION_ERROR', 'A signing secret is "whsec_" and the base64 of 24 to 64 random bytes.', {
      field: 'secret',
      expected: 'whsec_BASE64',
    });
  }
  return key;
}

/** The headers that sign one request by the Standard Webhooks scheme. `now` is in milliseconds. */
export function signatureHeaders(key: Buffer, id: string, now: number, body: string): Record<string, string> {
  const seconds = String(Math.floor(now / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': `v1,${signature}` };
}
