import { BusError, type CommandResult } from '@arqonbus/protocol';
import { z } from 'zod';
import { limitUpTo } from '../../commands/arguments.ts';
import { type AnyCommand, command } from '../../commands/command.ts';
import { connectionOf } from '../../commands/connection.ts';
import type { Sender } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import type { Awaitable, KeySpace, KeyValueEntry, SetOptions, SetOutcome } from '../../engine/engine.ts';
import { COUNT, STAMP } from '../../schemas/fields.ts';
import { MAX_PAGE } from '../page.ts';
import { KEY, MAX_KEY_BYTES, NAMESPACE, notStored } from './key.ts';
import { assertReadable, listKeys } from './listing.ts';
import { SPACE, type StoreCounts, type StoreLimits, storeFull, storeQuota } from './space.ts';
import type { Watches } from './watches.ts';

const MAX_TTL_SECONDS = 31_536_000;

const PREFIX = z.string().max(MAX_KEY_BYTES).describe('Only keys that begin with this.').exactOptional();
const VERSION = z.number().int().min(0).describe('Only if the key has this version; 0: only if it does not exist.');

/** The commands of op.store. Every key is in the caller's tenant; no argument can name another. */
export function storeCommands(bus: Core, watches: Watches, limits: StoreLimits, counts: StoreCounts): AnyCommand[] {
  const { access, engine } = bus;
  const { store } = engine;
  const assertMay = (sender: Sender, action: 'store_read' | 'store_write', at: KeySpace, key: string): void => {
    if (access.mayStore(sender.principal, action, at.namespace, key)) return;
    counts.refused += 1;
    throw notStored(at.namespace, key);
  };
  return [
    command({
      name: 'op.store.set',
      role: 'user',
      description: 'Sets a key; with if_version only if its version has not changed.',
      args: z.strictObject({
        key: KEY,
        value: z
          .unknown()
          .refine((value) => value !== undefined, 'is missing')
          .describe('Any JSON.'),
        namespace: NAMESPACE,
        ttl_seconds: z.number().positive().max(MAX_TTL_SECONDS).describe('Expires after this time.').exactOptional(),
        if_version: VERSION.exactOptional(),
      }),
      result: z.strictObject({ namespace: z.string(), key: z.string(), version: COUNT, updated: z.boolean() }),
      run: ({ sender }, args): Awaitable<CommandResult<'op.store.set'>> => {
        const at = spaceOf(sender, args.namespace);
        assertMay(sender, 'store_write', at, args.key);
        const value = JSON.stringify(args.value);
        const bytes = Buffer.byteLength(value);
        if (bytes > limits.maxValueBytes) {
          throw new BusError(
            'LIMIT_EXCEEDED',
            `A value has at most ${limits.maxValueBytes} bytes; this one has ${bytes}.`,
            {
              field: 'value',
              limit: limits.maxValueBytes,
            },
          );
        }
        const options: SetOptions = {
          quota: storeQuota(sender.identity, limits),
          ...(args.if_version === undefined ? {} : { ifVersion: args.if_version }),
          ...(args.ttl_seconds === undefined ? {} : { ttlMs: Math.ceil(args.ttl_seconds * 1000) }),
        };
        return then(store.set(at, args.key, value, options), (outcome) =>
          stored(at, args.key, outcome, limits, counts),
        );
      },
    }),
    command({
      name: 'op.store.get',
      role: 'user',
      description: 'Reads a key with its version.',
      args: z.strictObject({ key: KEY, namespace: NAMESPACE }),
      result: z.strictObject({
        found: z.boolean(),
        value: z.unknown().exactOptional(),
        version: COUNT.exactOptional(),
        expires_at: STAMP.exactOptional(),
      }),
      run: ({ sender }, { key, namespace }): Awaitable<CommandResult<'op.store.get'>> => {
        const at = spaceOf(sender, namespace);
        assertMay(sender, 'store_read', at, key);
        return then(store.get(at, key), (entry) => (entry === null ? { found: false } : found(entry)));
      },
    }),
    command({
      name: 'op.store.list',
      role: 'user',
      description: 'Lists keys in order. Pass "next" of one answer as "after" of the next call.',
      args: z.strictObject({
        namespace: NAMESPACE,
        prefix: PREFIX,
        limit: limitUpTo(MAX_PAGE),
        after: z.string().max(MAX_KEY_BYTES).describe('Only keys after this one.').exactOptional(),
        values: z.boolean().describe('Also return the values and versions, as "entries".').exactOptional(),
      }),
      result: z.strictObject({
        keys: z.array(z.string()),
        entries: z
          .array(
            z.strictObject({ key: z.string(), value: z.unknown(), version: COUNT, expires_at: STAMP.exactOptional() }),
          )
          .describe('With "values".')
          .exactOptional(),
        count: COUNT,
        next: z.string().describe('Pass as "after" for more.').exactOptional(),
      }),
      run: (
        { sender },
        { namespace, limit = 100, values = false, ...query },
      ): Promise<CommandResult<'op.store.list'>> =>
        listKeys(store, access, sender.principal, spaceOf(sender, namespace), { ...query, limit, values }),
    }),
    command({
      name: 'op.store.delete',
      role: 'user',
      description: 'Deletes a key; with if_version only if its version has not changed.',
      args: z.strictObject({ key: KEY, namespace: NAMESPACE, if_version: VERSION.exactOptional() }),
      result: z.strictObject({ deleted: z.boolean() }),
      run: ({ sender }, { key, namespace, if_version }): Awaitable<CommandResult<'op.store.delete'>> => {
        const at = spaceOf(sender, namespace);
        assertMay(sender, 'store_write', at, key);
        return then(store.delete(at, key, if_version), (outcome) => {
          if (!outcome.ok) throw conflict(key, outcome.version);
          return { deleted: outcome.deleted };
        });
      },
    }),
    command({
      name: 'op.store.watch',
      role: 'user',
      description: 'Sends this connection a system notice for every change under a prefix.',
      args: z.strictObject({ namespace: NAMESPACE, prefix: PREFIX }),
      result: z.strictObject({ watching: z.literal(true), namespace: z.string(), prefix: z.string() }),
      run: (context, { namespace = DEFAULT_NAMESPACE, prefix = '' }): CommandResult<'op.store.watch'> => {
        assertReadable(context.sender.principal, namespace);
        watches.add(connectionOf(context), namespace, prefix);
        return { watching: true, namespace, prefix };
      },
    }),
    command({
      name: 'op.store.unwatch',
      role: 'user',
      description: 'Ends a watch; without a prefix all watches of the namespace.',
      args: z.strictObject({ namespace: NAMESPACE, prefix: PREFIX }),
      result: z.strictObject({ watching: z.literal(false), removed: z.boolean() }),
      run: (context, { namespace = DEFAULT_NAMESPACE, prefix }): CommandResult<'op.store.unwatch'> => ({
        watching: false,
        removed: watches.remove(connectionOf(context), namespace, prefix),
      }),
    }),
  ];
}

const DEFAULT_NAMESPACE = 'default';

function spaceOf({ principal }: Sender, namespace: string = DEFAULT_NAMESPACE): KeySpace {
  return { tenant: principal.tenant, space: SPACE, namespace };
}

function stored(
  at: KeySpace,
  key: string,
  outcome: SetOutcome,
  limits: StoreLimits,
  counts: StoreCounts,
): CommandResult<'op.store.set'> {
  if (outcome.ok) {
    return { namespace: at.namespace, key, version: outcome.version, updated: !outcome.created };
  }
  if (outcome.reason === 'conflict') throw conflict(key, outcome.version);
  counts.over_quota += 1;
  throw storeFull(outcome.limit, limits);
}

function found(entry: KeyValueEntry): CommandResult<'op.store.get'> {
  return {
    found: true,
    value: JSON.parse(entry.value) as unknown,
    version: entry.version,
    ...(entry.expiresAt === null ? {} : { expires_at: new Date(entry.expiresAt).toISOString() }),
  };
}

function conflict(key: string, version: number): BusError {
  return new BusError('CONFLICT', `"${key}" has version ${version} now; read it again and try with that version.`, {
    key,
    current_version: version,
  });
}

function then<T, R>(value: Awaitable<T>, next: (value: T) => R): Awaitable<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
