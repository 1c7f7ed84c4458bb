import { BusError, type CommandResult } from '@arqonbus/protocol';
import type { Access } from '../../access.ts';
import type { KeySpace, KeyValueEntry, KeyValueStore } from '../../engine/engine.ts';
import type { Principal } from '../../principal.ts';
import { MAX_PAGE_BYTES } from '../page.ts';
import { notStored } from './key.ts';

export interface ListArguments {
  readonly prefix?: string;
  readonly after?: string;
  readonly limit: number;
  /** Whether the response includes values. */
  readonly values: boolean;
}

/** Maximum keys examined in one call while skipping keys that the grants do not cover. */
const MAX_EXAMINED = 10_000;
/** Time slice for examining keys, in milliseconds, before yielding to other work. */
const TURN_MS = 2;
/** Entries per read: few while their size is unknown, then about this many bytes. */
const FIRST_CHUNK = 64;
const CHUNK_BYTES = 262_144;
const MAX_CHUNK = 512;

/**
 * One page of the keys that a principal may read, in order. It ends after `limit` keys, or before the response would be
 * too large; "next" is the last key and never one that the grants do not cover.
 *
 * Throws AUTHORIZATION_ERROR when the grants cover nothing of the namespace, and LIMIT_EXCEEDED when the next covered
 * key is too far away.
 */
export async function listKeys(
  store: KeyValueStore,
  access: Access,
  principal: Principal,
  at: KeySpace,
  { prefix = '', after, limit, values }: ListArguments,
): Promise<CommandResult<'op.store.list'>> {
  const found: KeyValueEntry[] = [];
  const answer = (hasMore: boolean): CommandResult<'op.store.list'> => {
    const next = hasMore ? found.at(-1)?.key : undefined;
    return {
      keys: found.map(({ key }) => key),
      count: found.length,
      ...(values ? { entries: found.map(entryOf) } : {}),
      ...(next === undefined ? {} : { next }),
    };
  };
  let bytes = 0;
  let examined = 0;
  for (const range of rangesOf(principal, at.namespace, prefix)) {
    for await (const entry of entriesOf(store, at, range, after)) {
      examined += 1;
      if (access.mayStore(principal, 'store_read', at.namespace, entry.key)) {
        bytes += sizeOf(entry, values);
        if (found.length === limit || (found.length > 0 && bytes > MAX_PAGE_BYTES)) return answer(true);
        found.push(entry);
      } else if (examined >= MAX_EXAMINED) {
        if (found.length > 0) return answer(true);
        throw tooFar();
      }
    }
  }
  return answer(false);
}

/** Throws AUTHORIZATION_ERROR unless a principal may read some key of a namespace. */
export function assertReadable(principal: Principal, namespace: string): void {
  rangesOf(principal, namespace, '');
}

/**
 * The prefixes of the keys that a principal may read, sorted and disjoint: the part of each grant before its first
 * star. Reading a few keys among many thus costs only as much as these.
 */
export function rangesOf({ grants }: Principal, namespace: string, prefix: string): string[] {
  if (grants === null) return [prefix];
  const home = `${namespace}/`;
  const starts = (grants.store_read?.patterns ?? []).flatMap((pattern) => {
    const literal = pattern.split('*', 1)[0] ?? '';
    if (literal.startsWith(home)) return [literal.slice(home.length)];
    return literal !== pattern && home.startsWith(literal) ? [''] : [];
  });
  if (starts.length === 0) throw notStored(namespace, prefix);
  const within = starts.flatMap((start) => {
    if (start.startsWith(prefix)) return [start];
    return prefix.startsWith(start) ? [prefix] : [];
  });
  const sorted = [...new Set(within)].sort();
  return sorted.filter((range, index) => !sorted.slice(0, index).some((wider) => range.startsWith(wider)));
}

/** The entries under a prefix after a key, read in chunks of limited size; yields to other work in between. */
async function* entriesOf(
  store: KeyValueStore,
  at: KeySpace,
  prefix: string,
  after: string | undefined,
): AsyncGenerator<KeyValueEntry> {
  let chunk = FIRST_CHUNK;
  let end = performance.now() + TURN_MS;
  for (let from = after; ; ) {
    const entries = await store.list(at, { prefix, limit: chunk, ...(from === undefined ? {} : { after: from }) });
    let bytes = 0;
    for (const entry of entries) {
      yield entry;
      bytes += entry.key.length + entry.value.length;
      if (performance.now() < end) continue;
      await new Promise((resolve) => setImmediate(resolve));
      end = performance.now() + TURN_MS;
    }
    if (entries.length < chunk) return;
    from = entries.at(-1)?.key;
    chunk = Math.max(4, Math.min(MAX_CHUNK, Math.floor((CHUNK_BYTES * entries.length) / Math.max(1, bytes))));
  }
}

function entryOf({ key, value, version, expiresAt }: KeyValueEntry): StoreListEntry {
  return {
    key,
    value: JSON.parse(value) as unknown,
    version,
    ...(expiresAt === null ? {} : { expires_at: new Date(expiresAt).toISOString() }),
  };
}

type StoreListEntry = NonNullable<CommandResult<'op.store.list'>['entries']>[number];

/** Minimum size of an entry in the response, which has each key twice when values are included. */
function sizeOf({ key, value }: KeyValueEntry, values: boolean): number {
  const name = Buffer.byteLength(JSON.stringify(key)) + 1;
  return values ? 2 * name + Buffer.byteLength(value) + 100 : name;
}

function tooFar(): BusError {
  return new BusError(
    'LIMIT_EXCEEDED',
    `None of the next ${MAX_EXAMINED} keys is covered by your grants; name a prefix that is.`,
    { field: 'prefix', limit: MAX_EXAMINED },
  );
}
