import { createHash } from 'node:crypto';
import { CHANNEL_NAME, isId, ROOM_NAME, seal, WILDCARD } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Retention } from '../engine.ts';

/** Version of the format below; a file with a higher one is rejected. */
export const BACKUP_VERSION = 1;

const tenant = z.string().regex(ROOM_NAME, 'is not the name of a tenant');
const count = z.int().min(0);
const time = z.int();

const head = z.strictObject({
  kind: z.literal('arqonbus-backup'),
  version: z.int(),
  backend: z.string(),
  time: z.string(),
});
const space = z.strictObject({
  kind: z.literal('space'),
  tenant,
  space: z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/, 'is not the name of a space'),
  version: count,
});
const key = z.strictObject({
  kind: z.literal('key'),
  namespace: z.string(),
  key: z.string(),
  value: z.string(),
  version: z.int().min(1),
  expires_at: time.nullable(),
  owner: z.string().nullable(),
});
const stream = z.strictObject({
  kind: z.literal('stream'),
  tenant,
  room: z.string().regex(ROOM_NAME, 'is not the name of a room'),
  channel: z.union([z.string().regex(CHANNEL_NAME, 'is not the name of a channel'), z.literal(WILDCARD)]),
  size: count,
  ttl_ms: z.number().min(0).nullable(),
  bytes: count.nullable(),
  keep_last: z.boolean(),
});
const event = z.strictObject({
  kind: z.literal('event'),
  sequence: z.int().min(1),
  time,
  from: z.string(),
  open: z.string(),
});
const end = z.strictObject({
  kind: z.literal('end'),
  keys: count,
  streams: count,
  events: count,
  sha256: z.string(),
});

const anyRecord = z.discriminatedUnion('kind', [head, space, key, stream, event, end]);

interface HeadRecord {
  readonly kind: 'arqonbus-backup';
  readonly version: number;
  readonly backend: string;
  readonly time: string;
}

export interface SpaceRecord {
  readonly kind: 'space';
  readonly tenant: string;
  readonly space: string;
  /** The last version assigned in it. */
  readonly version: number;
}

/** Belongs to the preceding space. */
export interface KeyRecord {
  readonly kind: 'key';
  readonly namespace: string;
  readonly key: string;
  readonly value: string;
  readonly version: number;
  /** Milliseconds since 1970; null: never. */
  readonly expires_at: number | null;
  readonly owner: string | null;
}

/** Followed by the events of one stream, without a gap. If the same stream appears again, it starts over. */
export interface StreamRecord {
  readonly kind: 'stream';
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly size: number;
  /** Null: no limit. */
  readonly ttl_ms: number | null;
  /** Null: no limit. */
  readonly bytes: number | null;
  readonly keep_last: boolean;
}

export interface EventRecord {
  readonly kind: 'event';
  readonly sequence: number;
  readonly time: number;
  readonly from: string;
  /** The envelope without its end, which holds sequence and epoch. */
  readonly open: string;
}

interface EndRecord extends Readonly<BackupCounts> {
  readonly kind: 'end';
  /** Of all preceding lines, hexadecimal. */
  readonly sha256: string;
}

/** One line of a backup. */
export type BackupRecord = HeadRecord | SpaceRecord | KeyRecord | StreamRecord | EventRecord | EndRecord;

/** The content of a backup. A stream that started over counts each time. */
export interface BackupCounts {
  keys: number;
  streams: number;
  events: number;
}

/** A backup that cannot be used, or storage that it cannot be restored to; its message is the sentence to show. */
export class BackupFault extends Error {}

/** Counts the records of a backup and computes their digest, independently of JSON formatting. */
export class BackupTally {
  readonly counts: BackupCounts = { keys: 0, streams: 0, events: 0 };
  readonly #hash = createHash('sha256');

  add(record: BackupRecord): void {
    this.#hash.update(`${JSON.stringify(record)}\n`);
    if (record.kind === 'key') this.counts.keys += 1;
    else if (record.kind === 'stream') this.counts.streams += 1;
    else if (record.kind === 'event') this.counts.events += 1;
  }

  end(): BackupRecord {
    return { kind: 'end', ...this.counts, sha256: this.#hash.copy().digest('hex') };
  }
}

/** Parses a line. Throws {@link BackupFault} that says what is wrong, but not where. */
export function parseRecord(line: string): BackupRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new BackupFault('it is not JSON');
  }
  const parsed = anyRecord.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new BackupFault(`${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'is malformed'}`);
  }
  // The value as written, with members in their original order, since that was digested.
  return value as BackupRecord;
}

/** The id of an event. Throws {@link BackupFault} when its envelope does not belong to its stream. */
export function idOf({ open, sequence, from }: EventRecord, { room, channel }: StreamRecord): string {
  let envelope: { readonly [member: string]: unknown };
  try {
    envelope = JSON.parse(seal(open, sequence, 'x')) as typeof envelope;
  } catch {
    throw new BackupFault('open: is no envelope');
  }
  if (!isId(envelope.id)) throw new BackupFault('open: has no valid id');
  if (envelope.room !== room || envelope.channel !== channel || envelope.from !== from) {
    throw new BackupFault('open: is an envelope of another room, channel or sender');
  }
  return envelope.id;
}

export function retentionOf({ size, ttl_ms: ttlMs, bytes, keep_last: keepLast }: StreamRecord): Retention {
  return { size, ttlMs: ttlMs ?? Number.POSITIVE_INFINITY, ...(bytes === null ? {} : { bytes }), keepLast };
}

const PLACE = /"sequence":\d+,"epoch":"[^"]*"\}\}$/;
/** Maximum number of characters at the end of an envelope. */
const LONGEST_PLACE = 300;

/** A stored envelope without its end. */
export function openOf(text: string): string {
  const tail = text.slice(-LONGEST_PLACE);
  const at = tail.search(PLACE);
  if (at < 0) throw new BackupFault('An event in the storage has no place in its stream: it was not written by a bus.');
  return text.slice(0, text.length - tail.length + at);
}
