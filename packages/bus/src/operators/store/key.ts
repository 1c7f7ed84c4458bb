import { BusError } from '@arqonbus/protocol';
import { z } from 'zod';

export const MAX_KEY_BYTES = 256;

/** What `namespace` may be, of values and of leases. */
export const NAMESPACE: z.ZodExactOptional<z.ZodString> = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/)
  .describe('1-128 letters, digits, ".", "_", "/", "-"; "default" when missing.')
  .exactOptional();

/** What a key may be, of values and of leases. */
export const KEY: z.ZodString = z
  .string()
  .min(1)
  .refine((key) => Buffer.byteLength(key) <= MAX_KEY_BYTES, `at most ${MAX_KEY_BYTES} bytes`)
  .refine((key) => Buffer.from(key).toString() === key && !key.includes('\0'), 'text without NUL and lone surrogates')
  // In documents as far as a JSON Schema can say it.
  .meta({ maxLength: MAX_KEY_BYTES, pattern: '^[^\\x00]*$', description: `At most ${MAX_KEY_BYTES} bytes.` });

/** The refusal of what the grants do not cover. */
export function notStored(namespace: string, key: string): BusError {
  return new BusError('AUTHORIZATION_ERROR', `Your grants do not cover ${namespace}/${key} in the store.`, {
    namespace,
    key,
  });
}
