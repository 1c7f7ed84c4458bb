import type { Engine, StreamAddress, TenantSpace } from '../engine.ts';
import { BACKUP_VERSION, type BackupRecord, BackupTally, openOf } from './record.ts';

const KEYS_AT_ONCE = 100;
/** Events per read, initial and maximum, and the target number of characters per read. */
const FIRST_PAGE = 16;
const LARGEST_PAGE = 200;
const PAGE_CHARACTERS = 4 * 1_048_576;

/**
 * The full content of an open engine, in bounded memory: the events of all streams, and the key-value store with
 * versions and owners, of all tenants. A bus may use it at the same time: each stream is backed up as of when it is
 * read.
 */
export async function* backupRecords(engine: Engine): AsyncGenerator<BackupRecord> {
  const tally = new BackupTally();
  for await (const record of everything(engine)) {
    tally.add(record);
    yield record;
  }
  yield tally.end();
}

async function* everything(engine: Engine): AsyncGenerator<BackupRecord> {
  const { broker, store, backend } = engine;
  yield { kind: 'arqonbus-backup', version: BACKUP_VERSION, backend, time: new Date().toISOString() };
  for (const space of await store.spaces()) yield* keysOf(engine, space);
  for (const tenant of await broker.tenants()) {
    for (const stream of await broker.streams(tenant)) yield* eventsOf(engine, stream);
  }
}

async function* keysOf({ store }: Engine, all: TenantSpace): AsyncGenerator<BackupRecord> {
  const { tenant, space, version, namespaces } = all;
  yield { kind: 'space', tenant, space, version };
  for (const namespace of namespaces) {
    for (let after: string | undefined; ; ) {
      const query = { limit: KEYS_AT_ONCE, owners: true, ...(after === undefined ? {} : { after }) };
      const entries = await store.list({ tenant, space, namespace }, query);
      for (const { key, value, version: own, expiresAt, owner = null } of entries) {
        yield { kind: 'key', namespace, key, value, version: own, expires_at: expiresAt, owner };
      }
      if (entries.length < KEYS_AT_ONCE) break;
      after = entries.at(-1)?.key;
    }
  }
}

/** The events up to the current last one. If the oldest are removed in the meantime, the stream starts over. */
async function* eventsOf({ broker }: Engine, stream: StreamAddress): AsyncGenerator<BackupRecord> {
  const retention = await broker.retentionOf(stream);
  const state = await broker.find(stream);
  if (retention === null || state === null) return;
  const { tenant, room, channel } = stream;
  const { size, ttlMs, bytes = Number.POSITIVE_INFINITY, keepLast = false } = retention;
  let last = 0;
  for (let limit = FIRST_PAGE; ; ) {
    const events = await broker.history(stream, { fromSequence: last + 1, toSequence: state.sequence, limit });
    let characters = 0;
    for (const { sequence, time, from, text } of events) {
      if (last === 0 || sequence !== last + 1) {
        yield {
          ...({ kind: 'stream', tenant, room, channel, size } as const),
          ttl_ms: Number.isFinite(ttlMs) ? ttlMs : null,
          bytes: Number.isFinite(bytes) ? bytes : null,
          keep_last: keepLast,
        };
      }
      yield { kind: 'event', sequence, time, from, open: openOf(text) };
      last = sequence;
      characters += text.length;
    }
    if (events.length < limit) return;
    const average = 1 + characters / events.length;
    limit = Math.max(1, Math.min(LARGEST_PAGE, Math.floor(PAGE_CHARACTERS / average)));
  }
}
