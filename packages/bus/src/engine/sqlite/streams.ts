import type { HistoryQuery, StoredEvent, StreamUsage } from '../engine.ts';
import type { EventColumns, IdRecord, StreamRow } from './calls.ts';
import type { Connection, Row } from './connection.ts';

/** Number of new events of a stream after which its oldest are trimmed; long ones count as several. */
const TRIM_AFTER = 64;
const BYTES_OF_ONE = 16_384;
/** Minimum number of events that may be trimmed at once; more when more have been added. */
const TRIM_AT_MOST = 256;
/** Limits per sweep step. */
const SWEEP_STREAMS = 200;
const SWEEP_MESSAGES = 500;
const SWEEP_IDS = 200;
const IDS_PER_PAGE = 500;
/** Messages per INSERT statement, to reduce the number of driver calls. */
const ROWS_AT_ONCE = 16;
const INSERT_ONE = insertion(1);
const INSERT_MANY = insertion(ROWS_AT_ONCE);
/** Maximum number of cached streams. */
const MOST_KNOWN = 10_000;

/** The stored state of a stream, without its name. */
interface Standing {
  readonly id: number;
  sequence: number;
  size: number;
  ttlMs: number;
  maxBytes: number | null;
  keepLast: 0 | 1;
  /** UTF-8 bytes of all texts ever appended to it. */
  bytes: number;
  /** A lower bound of the oldest kept sequence. */
  oldest: number;
}

const STANDING = 'id, sequence, size, ttl_ms, max_bytes, keep_last, bytes, oldest';

/**
 * Streams in the database. Retention applies to reads immediately, and to stored rows soon after: rows are deleted in
 * small steps, with transactions that append and with the sweep.
 */
export class StreamTables {
  readonly #db: Connection;
  /** Stream id → events since its oldest were trimmed. */
  readonly #untrimmed = new Map<number, number>();
  /** Cached stored state of streams, so that a busy one is not queried in every transaction. */
  readonly #known = new Map<number, Standing>();
  /** The last stream checked by the sweep. */
  #swept = 0;

  constructor(db: Connection) {
    this.#db = db;
  }

  all(): StreamRow[] {
    return this.#db
      .rows(
        `SELECT id, tenant, room, channel, epoch, sequence, last_id, until, size, ttl_ms, max_bytes, keep_last
         FROM streams ORDER BY id`,
      )
      .map((row) => {
        const [id, tenant, room, channel, epoch, sequence, lastId, until, size, ttlMs, maxBytes, keepLast] = row as [
          ...[
            number,
            string,
            string,
            string,
            string,
            number,
            string | null,
            number,
            number,
            number,
            number | null,
            0 | 1,
          ],
        ];
        return { id, tenant, room, channel, epoch, sequence, lastId, until, size, ttlMs, maxBytes, keepLast };
      });
  }

  nextId(): number {
    const [row] = this.#db.rows(`SELECT seq FROM sqlite_sequence WHERE name = 'streams'`);
    return Number(row?.[0] ?? 0) + 1;
  }

  drop(streams: readonly number[]): void {
    for (const id of streams) {
      this.#db.run('DELETE FROM streams WHERE id = ?', id);
      this.#db.run('INSERT OR IGNORE INTO dropped (stream) VALUES (?)', id);
      this.#untrimmed.delete(id);
      this.#known.delete(id);
    }
  }

  /** Stores events, counting their bytes exactly, and the resulting state of `streams`, with or without events. */
  append(streams: readonly StreamRow[], events: EventColumns, now: number): void {
    for (const row of streams) this.#begin(row, now);
    const { length } = events.streams;
    for (let index = 0; index < length; ) {
      const count = length - index < ROWS_AT_ONCE ? 1 : ROWS_AT_ONCE;
      const values: unknown[] = [];
      for (const end = index + count; index < end; index += 1) {
        const stream = events.streams[index]!;
        const text = events.texts[index]!;
        const standing = this.#known.get(stream)!;
        const bytes = Buffer.byteLength(text);
        values.push(stream, events.sequences[index], events.times[index], events.froms[index], text);
        values.push(now, standing.bytes);
        standing.bytes += bytes;
        this.#untrimmed.set(stream, (this.#untrimmed.get(stream) ?? 0) + 1 + Math.floor(bytes / BYTES_OF_ONE));
      }
      this.#db.run(count === 1 ? INSERT_ONE : INSERT_MANY, ...values);
    }
    this.#db.countMessages(length);
    for (const row of streams) {
      const { id, tenant, room, channel, epoch, sequence, lastId, until, size, ttlMs, maxBytes, keepLast } = row;
      const { bytes, oldest } = this.#known.get(id)!;
      this.#db.run(
        `INSERT INTO streams
           (id, tenant, room, channel, epoch, sequence, last_id, until, size, ttl_ms, max_bytes, keep_last, bytes, oldest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, last_id = excluded.last_id,
           until = excluded.until, size = excluded.size, ttl_ms = excluded.ttl_ms, max_bytes = excluded.max_bytes,
           keep_last = excluded.keep_last, bytes = excluded.bytes, oldest = excluded.oldest`,
        ...[id, tenant, room, channel, epoch, sequence, lastId, until, size, ttlMs, maxBytes, keepLast, bytes, oldest],
      );
    }
    if (this.#known.size > MOST_KNOWN) this.#known.clear();
  }

  /** The current transaction was rolled back, and its changes with it. */
  forget(): void {
    this.#known.clear();
  }

  /** Trims the oldest events of streams that have grown by many since the last time. */
  trim(streams: readonly Pick<StreamRow, 'id'>[], now: number): void {
    for (const { id } of streams) {
      const untrimmed = this.#untrimmed.get(id) ?? 0;
      if (untrimmed < TRIM_AFTER) continue;
      this.#untrimmed.delete(id);
      const standing = this.#standing(id);
      if (standing !== null) this.#trimOne(standing, now, Math.max(TRIM_AT_MOST, 2 * untrimmed));
    }
  }

  remember(ids: IdRecord): void {
    this.#db.run('INSERT INTO ids (until, entries) VALUES (?, ?)', ids.until, ids.entries);
  }

  ids(after: number, now: number): { entries: string[]; next: number | null } {
    const rows = this.#db.rows(
      'SELECT number, entries FROM ids WHERE number > ? AND until >= ? ORDER BY number LIMIT ?',
      ...[after, now, IDS_PER_PAGE],
    );
    const last = rows.length < IDS_PER_PAGE ? undefined : rows.at(-1);
    return { entries: rows.map((row) => row[1] as string), next: last === undefined ? null : (last[0] as number) };
  }

  /** The ids of the last transaction that had any, in at most two rows. */
  lastIds(): string[] {
    return this.#db.rows('SELECT entries FROM ids ORDER BY number DESC LIMIT 2').map((row) => row[0] as string);
  }

  /** One small step of deleting what is past its retention: dropped streams, expired ids, the next streams in turn. */
  sweep(now: number): void {
    this.#db.run('DELETE FROM ids WHERE number IN (SELECT number FROM ids WHERE until < ? LIMIT ?)', now, SWEEP_IDS);
    let messages = SWEEP_MESSAGES;
    for (const [stream] of this.#db.rows('SELECT stream FROM dropped LIMIT ?', SWEEP_STREAMS)) {
      if (messages <= 0) return;
      const gone = this.#delete(stream as number, Number.MAX_SAFE_INTEGER, messages);
      if (gone < messages) this.#db.run('DELETE FROM dropped WHERE stream = ?', stream);
      messages -= gone;
    }
    const next = this.#db
      .rows(`SELECT ${STANDING} FROM streams WHERE id > ? ORDER BY id LIMIT ?`, this.#swept, SWEEP_STREAMS)
      .map(standingOf);
    for (const standing of next) {
      if (messages <= 0) return;
      messages -= this.#trimOne(standing, now, messages);
      this.#swept = standing.id;
    }
    if (next.length < SWEEP_STREAMS) this.#swept = 0;
  }

  /** A stream's state; null if it was never stored. */
  state(id: number, now: number): { sequence: number; oldest: number } | null {
    const stream = this.#standing(id);
    return stream === null ? null : { sequence: stream.sequence, oldest: this.#oldest(stream, now) };
  }

  /** How much a stream keeps; null if it was never stored. */
  usage(id: number, now: number): StreamUsage | null {
    const stream = this.#standing(id);
    if (stream === null) return null;
    const { sequence, bytes } = stream;
    const oldest = this.#oldest(stream, now);
    const [row] = this.#db.rows('SELECT start FROM messages WHERE stream = ? AND sequence = ?', id, oldest);
    return { sequence, events: sequence - oldest + 1, bytes: row === undefined ? 0 : bytes - (row[0] as number) };
  }

  /** The last event of a stream; null if the stream was never stored. */
  end(id: number): { sequence: number; lastId: string | null } | null {
    const [row] = this.#db.rows('SELECT sequence, last_id FROM streams WHERE id = ?', id);
    return row === undefined ? null : { sequence: row[0] as number, lastId: row[1] as string | null };
  }

  history(id: number, query: HistoryQuery, now: number): StoredEvent[] {
    const stream = this.#standing(id);
    if (stream === null) return [];
    const last = query.take === 'last';
    const rows = this.#db.rows(
      `SELECT sequence, time, sender, text FROM messages
       WHERE stream = ? AND sequence BETWEEN ? AND ? AND time BETWEEN ? AND ?
       ORDER BY sequence ${last ? 'DESC' : 'ASC'} LIMIT ?`,
      ...[
        id,
        Math.max(query.fromSequence ?? 0, this.#oldest(stream, now)),
        query.toSequence ?? Number.MAX_SAFE_INTEGER,
        query.fromTime ?? Number.MIN_SAFE_INTEGER,
        query.toTime ?? Number.MAX_SAFE_INTEGER,
        query.limit,
      ],
    );
    const events = (rows as [number, number, string, string][]).map(([sequence, time, from, text]) => ({
      sequence,
      time,
      from,
      text,
    }));
    return last ? events.reverse() : events;
  }

  /** Prepares a stream's state for its new values; events removed under previous limits do not come back. */
  #begin({ id, sequence, size, ttlMs, maxBytes, keepLast }: StreamRow, now: number): void {
    const limits = { size, ttlMs, maxBytes, keepLast };
    const known = this.#standing(id) ?? { ...limits, id, sequence: 0, bytes: 0, oldest: 0 };
    const isSame = known.size === size && known.ttlMs === ttlMs && known.maxBytes === maxBytes;
    if (!isSame || known.keepLast !== keepLast) known.oldest = this.#oldest(known, now);
    this.#known.set(id, Object.assign(known, limits, { sequence }));
  }

  #standing(id: number): Standing | null {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const [row] = this.#db.rows(`SELECT ${STANDING} FROM streams WHERE id = ?`, id);
    return row === undefined ? null : standingOf(row);
  }

  /** The lowest sequence kept of a stream, one more than its last if none is. */
  #oldest({ id, sequence, size, ttlMs, maxBytes, keepLast, bytes, oldest }: Standing, now: number): number {
    const [row] = this.#db.rows(
      `SELECT sequence FROM messages WHERE stream = ? AND sequence >= ? AND stored_at > ? AND start >= ?
       ORDER BY sequence LIMIT 1`,
      ...[id, Math.max(oldest, sequence - size + 1), now - ttlMs, maxBytes === null ? 0 : bytes - maxBytes],
    );
    if (row !== undefined) return row[0] as number;
    return keepLast === 1 && oldest <= sequence && this.#holds(id, sequence) ? sequence : sequence + 1;
  }

  #holds(id: number, sequence: number): boolean {
    return this.#db.rows('SELECT 1 FROM messages WHERE stream = ? AND sequence = ?', id, sequence).length > 0;
  }

  #trimOne(stream: Standing, now: number, most: number): number {
    return this.#delete(stream.id, this.#oldest(stream, now) - 1, most);
  }

  /** Deletes at most `most` of the stream's events, oldest first, up to `through`; returns the number deleted. */
  #delete(stream: number, through: number, most: number): number {
    const gone = this.#db.run(
      `DELETE FROM messages WHERE rowid IN
         (SELECT rowid FROM messages WHERE stream = ? AND sequence <= ? ORDER BY sequence LIMIT ?)`,
      ...[stream, through, most],
    );
    this.#db.countMessages(-gone);
    return gone;
  }
}

function standingOf(row: Row): Standing {
  const [id, sequence, size, ttlMs, maxBytes, keepLast, bytes, oldest] = row as [
    ...[number, number, number, number, number | null, 0 | 1, number, number],
  ];
  return { id, sequence, size, ttlMs, maxBytes, keepLast, bytes, oldest };
}

function insertion(rows: number): string {
  const row = '(?, ?, ?, ?, ?, ?, ?)';
  return `INSERT INTO messages (stream, sequence, time, sender, text, stored_at, start) VALUES ${new Array(rows).fill(row).join(', ')}`;
}
