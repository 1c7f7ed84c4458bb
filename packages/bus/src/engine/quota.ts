import type { QuotaLimit, StoreQuota } from './engine.ts';

/** A number of keys and their bytes: current usage, or an increase. */
export interface Usage {
  keys: number;
  /** UTF-8 bytes of keys and values. */
  bytes: number;
}

/** The size a key and its value count as. */
export function bytesOf(key: string, value: string): number {
  return Buffer.byteLength(key) + Buffer.byteLength(value);
}

/** The first limit of `quota` that adding `more` to the owner's and tenant's usage would exceed, or null. */
export function passedLimit(
  quota: StoreQuota,
  owner: { readonly held: Usage; readonly more: Usage },
  tenant: { readonly held: Usage; readonly more: Usage },
): QuotaLimit | null {
  if (passes(owner.held.keys, owner.more.keys, quota.ownerKeys)) return 'owner_keys';
  if (passes(owner.held.bytes, owner.more.bytes, quota.ownerBytes)) return 'owner_bytes';
  if (passes(tenant.held.keys, tenant.more.keys, quota.tenantKeys)) return 'tenant_keys';
  if (passes(tenant.held.bytes, tenant.more.bytes, quota.tenantBytes)) return 'tenant_bytes';
  return null;
}

function passes(held: number, more: number, limit: number): boolean {
  return more > 0 && held + more > limit;
}
