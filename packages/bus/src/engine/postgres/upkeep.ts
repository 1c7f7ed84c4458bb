import { setTimeout as pause } from 'node:timers/promises';
import type { Link } from './link.ts';
import type { Session } from './session.ts';

const TICK_MS = 1_000;
/** How long an event outside its retention is left in place: other nodes may not have read it yet. */
const READ_GRACE_MS = 30_000;
const ANSWERS_KEPT_MS = 600_000;
const CHANGES_KEPT_MS = 3_600_000;
const SIGNALS_KEPT_MS = 60_000;
/** Rows per deleting statement, across all its streams, so that none takes long; and statements of a kind per tick. */
const MOST_ROWS = 2_000;
const MOST_STEPS = 10;
/** Streams per tick: those that had traffic, and the next ones in turn. */
const BUSY_STREAMS = 500;
const OTHER_STREAMS = 200;

/**
 * Deletes expired data, in small steps, once a second: one node at a time does it for all, except for the streams that
 * a node knows to be busy, which each node trims itself.
 */
export class Upkeep {
  private readonly link: Link;
  private readonly expired: () => void;
  private timer: NodeJS.Timeout | undefined;
  private busy = new Map<number, number>();
  private lastStream = 0;
  private underWay = false;

  /** `expired` is called when keys of the store have expired. */
  constructor(link: Link, expired: () => void) {
    this.link = link;
    this.expired = expired;
  }

  start(): void {
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** A stream was published to. */
  touched(stream: number): void {
    this.busy.set(stream, performance.now());
  }

  private tick(): void {
    const { session } = this.link;
    if (session === null || this.underWay) return;
    this.underWay = true;
    const done = (): void => {
      this.underWay = false;
    };
    // What fails now is still due at the next tick.
    this.run(session).then(done, (error: Error) => {
      this.link.fault(`It could not be tidied up: ${error.message}`);
      done();
    });
  }

  private async run(session: Session): Promise<void> {
    await this.trimBusy(session);
    const [row] = await session.query('SELECT arqon_expire($1) AS count', [MOST_ROWS / 4]);
    if (Number(row?.count) > 0) this.expired();
    if (!(await this.isMyTurn(session))) return;
    await this.trimNext(session);
    await this.bury(session);
    await this.discard(session, 'arqon_ids', 'until', 0);
    await this.discard(session, 'arqon_claims', 'until', 0);
    await this.discard(session, 'arqon_answers', 'at', ANSWERS_KEPT_MS);
    await this.discard(session, 'arqon_changes', 'at', CHANGES_KEPT_MS);
    await this.discard(session, 'arqon_signals', 'at', SIGNALS_KEPT_MS);
  }

  /** Whether no other node has done the upkeep within this second. */
  private async isMyTurn(session: Session): Promise<boolean> {
    const rows = await session.query(
      `INSERT INTO arqon_meta AS m (key, value) VALUES ('tidied', arqon_now()::text)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value
         WHERE m.value::bigint NOT BETWEEN arqon_now() - $1::integer AND arqon_now()
       RETURNING 1 AS mine`,
      [TICK_MS * 0.9],
    );
    return rows.length > 0;
  }

  private async trimBusy(session: Session): Promise<void> {
    const now = performance.now();
    const some = [...this.busy.keys()].slice(0, BUSY_STREAMS);
    const left = new Set(await this.trim(session, some));
    for (const stream of some) {
      const touchedAt = this.busy.get(stream);
      // Streams that were not reached come first in the next tick.
      if (touchedAt === undefined || left.has(stream)) continue;
      this.busy.delete(stream);
      // Queued again, behind all others, until its current events may be deleted.
      if (now - touchedAt < READ_GRACE_MS + 2 * TICK_MS) this.busy.set(stream, touchedAt);
    }
  }

  private async trimNext(session: Session): Promise<void> {
    const rows = await session.query('SELECT id FROM arqon_streams WHERE id > $1 ORDER BY id LIMIT $2', [
      ...[this.lastStream, OTHER_STREAMS],
    ]);
    const streams = rows.map((row) => Number(row.id));
    const [next] = await this.trim(session, streams);
    await this.forget(session, streams);
    if (next !== undefined) this.lastStream = next - 1;
    else this.lastStream = rows.length < OTHER_STREAMS ? 0 : Number(rows.at(-1)?.id);
  }

  /** Resolves with the streams that it did not finish, in order. */
  private async trim(session: Session, streams: readonly number[]): Promise<readonly number[]> {
    let left = streams;
    for (let step = 0; step < MOST_STEPS && left.length > 0; step += 1) {
      const began = performance.now();
      const [row] = await session.query(
        'SELECT array_to_json(arqon_trim($1::bigint[], arqon_now() - $2::integer, $3))::text AS streams',
        [left, READ_GRACE_MS, MOST_ROWS],
      );
      left = JSON.parse(String(row?.streams)) as number[];
      // Leaves the disk and the processor to publishers for the same amount of time.
      if (left.length > 0) await pause(performance.now() - began);
    }
    return left;
  }

  /** Drops those of the streams that have been idle long enough. */
  private async forget(session: Session, streams: readonly number[]): Promise<void> {
    await session.query(
      `WITH gone AS (DELETE FROM arqon_streams WHERE id = ANY ($1::bigint[]) AND till <= arqon_now() RETURNING id)
       INSERT INTO arqon_dropped (stream) SELECT id FROM gone`,
      [streams],
    );
  }

  /** Deletes the contents of dropped streams. */
  private async bury(session: Session): Promise<void> {
    const dropped = await session.query('SELECT stream FROM arqon_dropped LIMIT $1', [MOST_STEPS]);
    for (const { stream } of dropped) {
      const [row] = await session.query(
        `WITH messages AS (
           DELETE FROM arqon_messages WHERE (stream, sequence) IN (
             SELECT stream, sequence FROM arqon_messages WHERE stream = $1 LIMIT $2) RETURNING 1
         ), ids AS (
           DELETE FROM arqon_ids WHERE (stream, identity, id) IN (
             SELECT stream, identity, id FROM arqon_ids WHERE stream = $1 LIMIT $2) RETURNING 1
         )
         SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM ids) AS count`,
        [Number(stream), MOST_ROWS],
      );
      if (row?.count === 0) await session.query('DELETE FROM arqon_dropped WHERE stream = $1', [Number(stream)]);
    }
  }

  private async discard(session: Session, table: string, column: string, keptMs: number): Promise<void> {
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const rows = await session.query(
        `WITH gone AS (
           DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ${table} WHERE ${column} < arqon_now() - $1::integer ORDER BY ${column} LIMIT $2
             FOR UPDATE SKIP LOCKED)) RETURNING 1
         ) SELECT count(*) AS count FROM gone`,
        [keptMs, MOST_ROWS],
      );
      if (Number(rows[0]?.count) < MOST_ROWS) return;
    }
  }
}
