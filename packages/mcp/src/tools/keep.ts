import { z } from 'zod';
import { cut, NOTE } from '../message.ts';
import { invalid } from '../place.ts';
import { seconds, type Tool, tool, WAIT_SECONDS } from '../tool.ts';

/** Default lease duration: long enough for a model to think, and short enough to free abandoned keys soon. */
const TTL_SECONDS = 120;
const PAGE = 50;

/** remember, recall, claim, release: stored values and exclusive leases. */
export const KEEP: readonly Tool[] = [
  tool(
    'remember',
    'Keep a value; if_version: only if unchanged, 0: if new.',
    z.strictObject({
      key: z.string(),
      value: z.unknown(),
      ttl_seconds: z.number().optional(),
      if_version: z.number().int().optional(),
    }),
    async ({ agent: { client } }, { key, value, ttl_seconds: ttlSeconds, if_version: ifVersion }) =>
      client.store.set(key, value ?? null, {
        ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
        ...(ifVersion === undefined ? {} : { ifVersion }),
      }),
  ),
  tool(
    'recall',
    'The value of a key, or the keys under a prefix.',
    z.strictObject({ key: z.string().optional(), prefix: z.string().optional(), after: z.string().optional() }),
    async ({ agent: { client }, signal }, { key, prefix, after }) => {
      if (key !== undefined) {
        const { value, ...entry } = await client.store.get(key, { signal });
        if (!entry.found) return entry;
        const { data, ...rest } = cut(value);
        return { note: NOTE, ...entry, value: data, ...rest };
      }
      const options = { ...(prefix === undefined ? {} : { prefix }), ...(after === undefined ? {} : { after }) };
      return client.store.list({ ...options, limit: PAGE, signal });
    },
  ),
  tool(
    'claim',
    'Claim keys; with lease: keep them longer.',
    z.strictObject({
      keys: z.array(z.string()).max(32).optional(),
      lease: z.string().optional(),
      ttl_seconds: z.number().optional(),
      wait_seconds: WAIT_SECONDS,
    }),
    async (
      { agent: { client }, signal },
      { keys = [], lease, ttl_seconds: ttl = TTL_SECONDS, wait_seconds: wait = 0 },
    ) => {
      if (lease !== undefined) {
        return told(await client.command('op.lease.renew', { lease_id: lease, ttl_seconds: ttl }, { signal }), lease);
      }
      if (keys.length === 0) throw invalid('Name the keys to claim, or the lease to have longer.');
      // Kept across lost connections; only the agent itself renews it.
      const args = { keys, ttl_seconds: ttl, wait_ms: seconds(wait), keep: true };
      const granted = await client.command('op.lease.acquire', args, { signal, timeoutMs: seconds(wait) + 10_000 });
      return { ...told(granted, granted.lease_id), keys: granted.keys };
    },
    { fields: { lease_id: 'lease', wait_ms: 'wait_seconds' } },
  ),
  tool(
    'release',
    'Give up what you claimed.',
    z.strictObject({ lease: z.string() }),
    async ({ agent, signal }, { lease }) => agent.client.command('op.lease.release', { lease_id: lease }, { signal }),
    { fields: { lease_id: 'lease' } },
  ),
];

function told(granted: { token: number; expires_at: string }, lease: string): object {
  return { lease, fencing_token: granted.token, expires_at: granted.expires_at };
}
