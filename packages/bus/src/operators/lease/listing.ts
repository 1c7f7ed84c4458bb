import type { CommandResult } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { Sender } from '../../connection/session.ts';
import type { KeyValueStore } from '../../engine/engine.ts';
import { MAX_PAGE_BYTES } from '../page.ts';
import { type Lease, leaseOf } from './ledger.ts';
import { leaseSpace } from './record.ts';

type LeaseEntry = CommandResult<'op.lease.list'>['leases'][number];

/** Leases read at once; each is at most 10 KiB. */
const CHUNK = 100;

/** One page of the leases that a sender may see, by id. */
export async function listLeases(
  store: KeyValueStore,
  access: Access,
  sender: Sender,
  limit: number,
  after: string | undefined,
): Promise<CommandResult<'op.lease.list'>> {
  const at = leaseSpace(sender.principal.tenant);
  const leases: LeaseEntry[] = [];
  let bytes = 0;
  for (let from = after; ; ) {
    const entries = await store.list(at, { limit: CHUNK, ...(from === undefined ? {} : { after: from }) });
    for (const entry of entries) {
      const lease = leaseOf(entry);
      if (!maySee(access, sender, lease)) continue;
      const shown = show(sender, lease);
      bytes += Buffer.byteLength(JSON.stringify(shown)) + 1;
      const last = leases.at(-1);
      if (last !== undefined && (leases.length === limit || bytes > MAX_PAGE_BYTES)) {
        return { leases, count: leases.length, next: last.lease_id };
      }
      leases.push(shown);
    }
    if (entries.length < CHUNK) return { leases, count: leases.length };
    from = entries.at(-1)?.key;
    // Yields to other work.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function maySee(access: Access, { principal, identity }: Sender, { record }: Lease): boolean {
  if (!record.isHeld) return false;
  const { namespace, keys } = record;
  return record.identity === identity || keys.every((key) => access.mayStore(principal, 'store_read', namespace, key));
}

function show({ identity }: Sender, { id, record, expiresAt }: Lease): LeaseEntry {
  const { namespace, keys, token, subject, keep, acquiredAt } = record;
  return {
    lease_id: id,
    namespace,
    keys: [...keys],
    token,
    subject,
    is_own: record.identity === identity,
    keep,
    acquired_at: acquiredAt,
    expires_at: new Date(expiresAt).toISOString(),
  };
}
