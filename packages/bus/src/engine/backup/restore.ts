import { createHash, type Hash } from 'node:crypto';
import type { Engine, KeySpace, StoreQuota, StreamAddress } from '../engine.ts';
import { type NumberedRecord, readBackup } from './lines.ts';
import {
  BACKUP_VERSION,
  type BackupCounts,
  BackupFault,
  type BackupRecord,
  type EventRecord,
  idOf,
  type KeyRecord,
  openOf,
  retentionOf,
  type SpaceRecord,
  type StreamRecord,
} from './record.ts';

const KEYS_AT_ONCE = 100;
const EVENTS_AT_ONCE = 256;
/** Maximum characters of events in flight; beyond it no more are added. */
const CHARACTERS_AT_ONCE = 1_048_576;
const EVENTS_READ_AT_ONCE = 50;
/** Keeps everything until all has been verified. */
const UNLIMITED = { size: 2 ** 40, ttlMs: Number.POSITIVE_INFINITY };
const UNBOUNDED = Number.MAX_SAFE_INTEGER;
/** A key that is set and deleted to advance the space's version. */
const VERSION_KEY = 'arqon.restore';

export interface RestoreOptions {
  /** Replaces existing data of the same names with the backup's; everything else stays. */
  readonly intoExisting?: boolean;
}

/** Reads a backup from start to end without storing it. Throws {@link BackupFault} unless all of it can be used. */
export async function checkBackup(chunks: AsyncIterable<Uint8Array>): Promise<BackupCounts> {
  const counts = { keys: 0, streams: 0, events: 0 };
  for await (const { record } of readBackup(chunks)) {
    if (record.kind === 'arqonbus-backup' && record.version > BACKUP_VERSION) {
      throw new BackupFault(
        `The backup has version ${record.version}, and this release knows ${BACKUP_VERSION}: use the newer release.`,
      );
    }
    if (record.kind === 'end') {
      const { keys, streams, events } = record;
      Object.assign(counts, { keys, streams, events });
    }
  }
  return counts;
}

/**
 * Restores a backup to an open engine, reads each part back and compares it. Streams get new epochs, since what was
 * acked after the backup is not in it; their sequences, and versions of keys, continue where they were. Throws
 * {@link BackupFault} if nodes of a bus are running, if the storage is not empty, or if the data read back differs.
 */
export async function restoreBackup(
  engine: Engine,
  chunks: AsyncIterable<Uint8Array>,
  options: RestoreOptions = {},
): Promise<BackupCounts> {
  await refuseNodes(engine);
  if (options.intoExisting !== true) await refuseContent(engine);
  const restore = new Restore(engine, await versionsOf(engine));
  for await (const numbered of readBackup(chunks)) await restore.take(numbered);
  return restore.counts;
}

async function refuseNodes({ presence }: Engine): Promise<void> {
  if (presence === null) return;
  const none = { connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
  const others = await presence.report({ node: 'restore', ...none });
  if (others.length === 0) return;
  throw new BackupFault(
    `${others.length} ${others.length === 1 ? 'node' : 'nodes'} of a bus run on this storage: stop them first; one that was killed is forgotten after 15 s.`,
  );
}

async function refuseContent({ backend, broker, store }: Engine): Promise<void> {
  const tenants = await broker.tenants();
  const hasKeys = (await store.spaces()).some(({ namespaces }) => namespaces.length > 0);
  if (tenants.length === 0 && !hasKeys) return;
  throw new BackupFault(
    `The ${backend} storage is not empty (${tenants.length > 0 ? 'it has streams' : 'it has keys'}): choose one that is, or give --into-existing, with which the backup takes the place of what has the same names.`,
  );
}

async function versionsOf({ store }: Engine): Promise<Map<string, number>> {
  return new Map((await store.spaces()).map((space) => [spaceName(space), space.version]));
}

function spaceName({ tenant, space }: { readonly tenant: string; readonly space: string }): string {
  return `${tenant}/${space}`;
}

class Restore {
  readonly counts: BackupCounts = { keys: 0, streams: 0, events: 0 };
  readonly #engine: Engine;
  readonly #versions: ReadonlyMap<string, number>;
  #keys: SpaceKeys | null = null;
  #stream: StreamCopy | null = null;

  /** `versions`: the last version assigned in each space before the restore, by {@link spaceName}. */
  constructor(engine: Engine, versions: ReadonlyMap<string, number>) {
    this.#engine = engine;
    this.#versions = versions;
  }

  async take({ record }: NumberedRecord): Promise<void> {
    if (record.kind === 'key') {
      await this.#keys?.add(record);
      return;
    }
    if (record.kind === 'event') {
      await this.#stream?.add(record);
      return;
    }
    await this.#finish();
    await this.#begin(record);
  }

  async #begin(record: BackupRecord): Promise<void> {
    if (record.kind === 'space') {
      const version = this.#versions.get(spaceName(record)) ?? 0;
      this.#keys = await SpaceKeys.begin(this.#engine, record, version);
    }
    if (record.kind === 'stream') this.#stream = await StreamCopy.begin(this.#engine, record);
  }

  /** Completes the current space or stream: a line of another kind ends it. */
  async #finish(): Promise<void> {
    if (this.#keys !== null) this.counts.keys += await this.#keys.finish();
    this.#keys = null;
    if (this.#stream !== null) {
      this.counts.streams += 1;
      this.counts.events += await this.#stream.finish();
    }
    this.#stream = null;
  }
}

/** Keys of one space being restored. If versions were assigned there before, the keys get new, higher ones. */
class SpaceKeys {
  readonly #engine: Engine;
  readonly #at: SpaceRecord;
  readonly #isNew: boolean;
  #waiting: KeyRecord[] = [];
  #count = 0;

  private constructor(engine: Engine, at: SpaceRecord, isNew: boolean) {
    this.#engine = engine;
    this.#at = at;
    this.#isNew = isNew;
  }

  /** `version`: the last version assigned in the space before the restore; 0: none. */
  static async begin(engine: Engine, record: SpaceRecord, version: number): Promise<SpaceKeys> {
    const { store } = engine;
    const keys = new SpaceKeys(engine, record, version === 0);
    if (record.version > version) {
      await store.set(keys.#place(''), VERSION_KEY, 'null', { version: record.version, ttlMs: 60_000 });
      await store.delete(keys.#place(''), VERSION_KEY);
    }
    return keys;
  }

  async add(record: KeyRecord): Promise<void> {
    if (record.expires_at !== null && record.expires_at <= Date.now()) return;
    this.#waiting.push(record);
    if (this.#waiting.length >= KEYS_AT_ONCE) await this.#flush();
  }

  async finish(): Promise<number> {
    await this.#flush();
    return this.#count;
  }

  async #flush(): Promise<void> {
    const records = this.#waiting;
    this.#waiting = [];
    await Promise.all(records.map((record) => this.#put(record)));
    this.#count += records.length;
  }

  async #put({ namespace, key, value, version, expires_at: expiresAt, owner }: KeyRecord): Promise<void> {
    const { store } = this.#engine;
    const at = this.#place(namespace);
    // Otherwise an existing key would keep its owner.
    if (!this.#isNew) await store.delete(at, key);
    const ttlMs = expiresAt === null ? null : expiresAt - Date.now();
    if (ttlMs !== null && ttlMs <= 0) return;
    await store.set(at, key, value, {
      ...(this.#isNew ? { version } : {}),
      ...(ttlMs === null ? {} : { ttlMs }),
      ...(owner === null ? {} : { quota: unboundedFor(owner) }),
    });
    const kept = await store.get(at, key);
    if (kept === null && expiresAt !== null && expiresAt <= Date.now() + 1_000) return;
    if (kept?.value !== value || (this.#isNew && kept.version !== version)) {
      throw new BackupFault(
        `The key ${JSON.stringify(key)} of ${at.tenant}/${at.space} was read back differently: is something else writing to this storage? Restore again with --into-existing.`,
      );
    }
  }

  #place(namespace: string): KeySpace {
    return { tenant: this.#at.tenant, space: this.#at.space, namespace };
  }
}

/** One stream being restored, and a digest of its expected content. */
class StreamCopy {
  readonly #engine: Engine;
  readonly #record: StreamRecord;
  readonly #at: StreamAddress;
  readonly #given = createHash('sha256');
  #waiting: EventRecord[] = [];
  #characters = 0;
  #count = 0;

  private constructor(engine: Engine, record: StreamRecord) {
    this.#engine = engine;
    this.#record = record;
    const { tenant, room, channel } = record;
    this.#at = { tenant, room, channel };
  }

  /** Replaces an existing stream. */
  static async begin(engine: Engine, record: StreamRecord): Promise<StreamCopy> {
    const copy = new StreamCopy(engine, record);
    if ((await engine.broker.find(copy.#at)) !== null) await engine.broker.drop(copy.#at);
    return copy;
  }

  async add(record: EventRecord): Promise<void> {
    digest(this.#given, record);
    this.#waiting.push(record);
    this.#characters += record.open.length;
    if (this.#waiting.length >= EVENTS_AT_ONCE || this.#characters >= CHARACTERS_AT_ONCE) await this.#flush();
  }

  /** Reads the stream back, then restores its retention; returns the number of events. */
  async finish(): Promise<number> {
    await this.#flush();
    const { broker } = this.#engine;
    const kept = createHash('sha256');
    let count = 0;
    for (let next = 1; ; ) {
      const events = await broker.history(this.#at, { fromSequence: next, limit: EVENTS_READ_AT_ONCE });
      for (const { sequence, time, from, text } of events) digest(kept, { sequence, time, from, open: openOf(text) });
      count += events.length;
      if (events.length < EVENTS_READ_AT_ONCE) break;
      next = (events.at(-1)?.sequence ?? 0) + 1;
    }
    if (count !== this.#count || kept.digest('hex') !== this.#given.digest('hex')) throw this.#differs(count);
    await broker.retain(this.#at, retentionOf(this.#record));
    return count;
  }

  async #flush(): Promise<void> {
    const records = this.#waiting;
    this.#waiting = [];
    this.#characters = 0;
    const published = await Promise.all(records.map((record) => this.#publish(record)));
    for (const [index, { sequence }] of published.entries()) {
      if (sequence !== records[index]?.sequence) throw this.#differs(this.#count + index);
    }
    this.#count += records.length;
  }

  async #publish(record: EventRecord): Promise<{ readonly sequence: number }> {
    const { sequence, time, from, open } = record;
    return this.#engine.broker.publish({
      stream: this.#at,
      draft: { id: idOf(record, this.#record), from, time, open },
      identity: from,
      retention: UNLIMITED,
      dedupeMs: 0,
      firstSequence: sequence,
    });
  }

  #differs(count: number): BackupFault {
    const { tenant, room, channel } = this.#at;
    return new BackupFault(
      `The stream ${room}:${channel} of ${tenant} was read back differently after ${count} events: is something else writing to this storage, or has it no room? Restore again with --into-existing.`,
    );
  }
}

function digest(hash: Hash, { sequence, time, from, open }: Omit<EventRecord, 'kind'>): void {
  hash.update(JSON.stringify([sequence, time, from, open]));
}

function unboundedFor(owner: string): StoreQuota {
  return {
    owner,
    ownerKeys: UNBOUNDED,
    ownerBytes: UNBOUNDED,
    tenantKeys: UNBOUNDED,
    tenantBytes: UNBOUNDED,
  };
}
