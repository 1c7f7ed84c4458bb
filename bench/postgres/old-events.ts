import type { Sql } from 'postgres';

/** Age of the events, in milliseconds: well past any grace period. */
const AGE_MS = 3_600_000;
const BODY_LENGTH = 300;
/** Rows per statement. */
const STEP = 500_000;

/**
 * Fills existing streams with `total` events, an hour old, in time order across all streams, as traffic would have
 * stored them. Previous events are deleted.
 */
export async function storeOldEvents(sql: Sql, total: number): Promise<void> {
  await sql`SET synchronous_commit = off`;
  await sql`DELETE FROM arqon_messages`;
  await sql`CREATE TEMPORARY TABLE places AS
    SELECT id, (row_number() OVER (ORDER BY id) - 1)::integer AS n FROM arqon_streams`;
  await sql`CREATE UNIQUE INDEX ON places (n)`;
  await sql`ANALYZE places`;
  const [{ streams } = { streams: 0 }] = await sql<
    { streams: number }[]
  >`SELECT count(*)::integer AS streams FROM places`;
  const [{ now } = { now: '0' }] = await sql<{ now: string }[]>`SELECT arqon_now()::text AS now`;
  for (let from = 0; from < total; from += STEP) {
    const to = Math.min(total, from + STEP) - 1;
    await sql`
      INSERT INTO arqon_messages
        (stream, sequence, position, item, xid, origin, number, time, stored_at, start, id, sender, identity, body)
      SELECT p.id, g / ${streams}::integer + 1, 0, 0, '3', 'old', g, ${now}::bigint - ${AGE_MS}::integer,
        ${now}::bigint - ${AGE_MS}::integer + g / 10000, (g / ${streams}::integer) * 400, 'arq_old' || g, 'old', 'old',
        rpad('{"version":"1.0","metadata":{', ${BODY_LENGTH}::integer, 'x')
      FROM generate_series(${from}::integer, ${to}::integer) g JOIN places p ON p.n = g % ${streams}::integer
      ORDER BY g`;
  }
  await sql`UPDATE arqon_streams s SET oldest = 0, stored_at = f.stored_at, sequence = f.last, bytes = f.last * 400
    FROM (SELECT p.id, ceil((${total}::integer - p.n)::float8 / ${streams}::integer)::bigint AS last,
      ${now}::bigint - 60000 AS stored_at FROM places p) f
    WHERE f.id = s.id`;
  await sql`SET synchronous_commit = on`;
  await sql`VACUUM (ANALYZE) arqon_messages`;
  await sql`CHECKPOINT`;
}
