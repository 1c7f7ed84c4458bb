import { BusError } from '@arqonbus/protocol';
import { z } from 'zod';

export const MAX_KEY_BYTES = 256;

/** The schema of `namespace`, for values and leases. */
export const NAMESPACE: z.ZodExactOptional<z.ZodString> = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/,
    'must be 1-128 letters, digits, ".", "_", "/" or "-", the first a letter or digit',
  )
  .describe('1-128 letters, digits, ".", "_", "/", "-". Default: "default".')
  .exactOptional();

/** The schema of a key, for values and leases. */
export const KEY: z.ZodString = z
  .string()
  .min(1)
  .refine((key) => Buffer.byteLength(key) <= MAX_KEY_BYTES, `must have at most ${MAX_KEY_BYTES} bytes`)
  .refine(
    (key) => Buffer.from(key).toString() === key && !key.includes('\0'),
    'must be text without NUL and lone surrogates',
  )
  // For documents, as far as JSON Schema can express it.
  .meta({ maxLength: MAX_KEY_BYTES, pattern: '^[^\\x00]*$', description: `At most ${MAX_KEY_BYTES} bytes.` });

/** The error for keys that the grants do not cover. */
export function notStored(namespace: string, key: string): BusError {
  return new BusError('AUTHORIZATION_ERROR', `Your grants do not cover ${namespace}/${key} in the store.`, {
    namespace,
    key,
  });
}
