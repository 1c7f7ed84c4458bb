import { BusError, type CommandResult } from '@arqonbus/protocol';
import { z } from 'zod';
import { limitUpTo } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import type { Sender } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import { hasRole } from '../../principal.ts';
import { COUNT, STAMP } from '../../schemas/fields.ts';
import { MAX_PAGE } from '../page.ts';
import { KEY, NAMESPACE, notStored } from '../store/key.ts';

import type { Leases } from './leases.ts';
import type { Lease } from './ledger.ts';
import { listLeases } from './listing.ts';

const MAX_KEYS = 32;
const MAX_TTL_SECONDS = 86_400;
const MAX_WAIT_MS = 55_000;
const DEFAULT_NAMESPACE = 'lease';

const LEASE_ID = z.string().min(1).max(128).describe('As returned by acquire.');
const TTL = z.number().min(1).max(MAX_TTL_SECONDS).describe('Its duration from now on, unless it is renewed.');
const TOKEN = COUNT.describe(
  'Larger than that of every earlier lease of these keys. The protected resource must refuse smaller ones.',
);

/** The commands of op.lease. Every key is in the caller's tenant; no argument can name another. */
export function leaseCommands(bus: Core, leases: Leases): AnyCommand[] {
  const { access, options } = bus;
  /** The lease, if it belongs to the sender, or if the sender is an admin whose grants cover all its keys. */
  const own = async (sender: Sender, leaseId: string): Promise<Lease> => {
    const lease = await leases.ledger.get(sender.principal.tenant, leaseId);
    const { identity, namespace, keys } = lease.record;
    const isGranted = (key: string): boolean => access.mayStore(sender.principal, 'store_write', namespace, key);
    if (identity === sender.identity || (hasRole(sender.principal, 'admin') && keys.every(isGranted))) return lease;
    throw new BusError('AUTHORIZATION_ERROR', 'The lease is not yours.', { lease_id: leaseId });
  };
  const assertMay = ({ principal }: Sender, namespace: string, keys: readonly string[]): void => {
    for (const key of keys) {
      if (!access.mayStore(principal, 'store_write', namespace, key)) throw notStored(namespace, key);
    }
  };
  return [
    command({
      name: 'op.lease.acquire',
      role: 'user',
      description: 'Acquires exclusive keys for a time, all or none. With wait_ms it waits for keys that others hold.',
      waits: true,
      args: z.strictObject({
        keys: z.array(KEY).min(1).max(MAX_KEYS).describe(`1-${MAX_KEYS} keys.`),
        ttl_seconds: TTL,
        wait_ms: z.number().int().min(0).max(MAX_WAIT_MS).describe('How long to wait (default 0).').exactOptional(),
        keep: z
          .boolean()
          .describe('Outlives your connections; otherwise it is released with the last one.')
          .exactOptional(),
        namespace: NAMESPACE.describe('As in op.store. Default: "lease".'),
      }),
      result: z.strictObject({
        lease_id: LEASE_ID,
        token: TOKEN,
        expires_at: STAMP,
        keys: z.array(z.string()).describe('Sorted, each once.'),
      }),
      run: async (
        { sender, signal, releaseTurn },
        { keys, ttl_seconds, wait_ms: waitMs = 0, keep = false, namespace = DEFAULT_NAMESPACE },
      ): Promise<CommandResult<'op.lease.acquire'>> => {
        const { principal, identity } = sender;
        const sorted = [...new Set(keys)].sort();
        assertMay(sender, namespace, sorted);
        const { tenant, subject } = principal;
        const ttlMs = Math.ceil(ttl_seconds * 1000);
        const acquiredAt = new Date(options.now()).toISOString();
        const { node } = options;
        const request = { tenant, namespace, keys: sorted, identity, subject, node, keep, ttlMs, acquiredAt };
        if (waitMs > 0) releaseTurn();
        const { id, record, expiresAt } = await leases.acquire(sender, { request, waitMs, signal });
        return { lease_id: id, token: record.token, expires_at: new Date(expiresAt).toISOString(), keys: sorted };
      },
    }),
    command({
      name: 'op.lease.renew',
      role: 'user',
      description: 'Renews a lease from now on, for its original or another duration.',
      args: z.strictObject({ lease_id: LEASE_ID, ttl_seconds: TTL.exactOptional() }),
      result: z.strictObject({ lease_id: LEASE_ID, token: TOKEN, expires_at: STAMP }),
      run: async ({ sender }, { lease_id, ttl_seconds }): Promise<CommandResult<'op.lease.renew'>> => {
        const lease = await own(sender, lease_id);
        assertMay(sender, lease.record.namespace, lease.record.keys);
        const ttlMs = ttl_seconds === undefined ? lease.record.ttlMs : Math.ceil(ttl_seconds * 1000);
        const { record, expiresAt } = await leases.ledger.renew(sender.principal.tenant, lease, ttlMs);
        return { lease_id, token: record.token, expires_at: new Date(expiresAt).toISOString() };
      },
    }),
    command({
      name: 'op.lease.release',
      role: 'user',
      description: 'Ends a lease and frees its keys.',
      args: z.strictObject({ lease_id: LEASE_ID }),
      result: z.strictObject({ released: z.literal(true), lease_id: LEASE_ID }),
      run: async ({ sender }, { lease_id }): Promise<CommandResult<'op.lease.release'>> => {
        await leases.ledger.release(sender.principal.tenant, await own(sender, lease_id));
        return { released: true, lease_id };
      },
    }),
    command({
      name: 'op.lease.list',
      role: 'user',
      description: 'Lists your leases, and those of others whose keys you may read (store_read).',
      args: z.strictObject({
        limit: limitUpTo(MAX_PAGE),
        after: z.string().max(128).describe('The "next" of the previous answer.').exactOptional(),
      }),
      result: z.strictObject({
        leases: z.array(
          z.strictObject({
            lease_id: LEASE_ID,
            namespace: z.string(),
            keys: z.array(z.string()),
            token: TOKEN,
            subject: z.string().nullable(),
            is_own: z.boolean(),
            keep: z.boolean(),
            acquired_at: STAMP,
            expires_at: STAMP,
          }),
        ),
        count: COUNT,
        next: z.string().describe('Pass as "after" for more.').exactOptional(),
      }),
      run: ({ sender }, { limit = 100, after }): Promise<CommandResult<'op.lease.list'>> =>
        listLeases(bus.engine.store, access, sender, limit, after),
    }),
  ];
}
