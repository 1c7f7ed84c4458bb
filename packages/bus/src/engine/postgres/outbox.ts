import { type JsonObject, openDraft, randomToken, SERVER } from '@arqonbus/protocol';
import type { Publication, Retention } from '../engine.ts';
import { APPEND, layOut } from './publisher.ts';
import type { Query, Session } from './session.ts';

/** Events per transaction, and their approximate number of characters. */
const MOST_EVENTS = 200;
const MOST_CHARACTERS = 4 * 1_048_576;
/** The advisory lock for emptying the outbox; the letters "ArqO". */
const LOCK = 0x41_72_71_4f;
/** The identity of `arqon_publish` for deduplication. */
const IDENTITY = 'sql';

interface OutboxRow {
  readonly number: number;
  readonly time: number;
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly id: string;
  readonly payload: string;
  readonly size: number | null;
  readonly ttl_ms: number | null;
  readonly max_bytes: number | null;
  readonly keep_last: boolean | null;
}

/**
 * Moves the events that applications published with `arqon_publish` to their streams: in the order published, one node
 * at a time, each event in the transaction that removes it from the outbox. Returns the number of events.
 */
export async function emptyOutbox(session: Session, retention: Retention): Promise<number> {
  let taken = 0;
  for (;;) {
    const count = await session.transaction((query) => takeSome(query, session.state.schema, retention));
    taken += count;
    if (count < MOST_EVENTS) return taken;
  }
}

async function takeSome(query: Query, schema: string, retention: Retention): Promise<number> {
  const [lock] = await query('SELECT pg_try_advisory_xact_lock($1, hashtext($2)) AS held', [LOCK, schema]);
  if (lock?.held !== true) return 0;
  const rows = (await query(
    `SELECT o.number, o.time, o.tenant, o.room, o.channel, o.id, o.payload, s.size, s.ttl_ms, s.max_bytes,
       s.keep_last
     FROM (
       SELECT *, sum(length(payload)) OVER (ORDER BY number) - length(payload) AS before
       FROM (SELECT * FROM arqon_outbox ORDER BY number LIMIT $1) f
     ) o LEFT JOIN arqon_streams s
       ON s.tenant = o.tenant AND s.room = o.room AND s.channel = o.channel AND s.sequence > 0
     WHERE o.before < $2 ORDER BY o.number`,
    [MOST_EVENTS, MOST_CHARACTERS],
  )) as unknown as OutboxRow[];
  if (rows.length === 0) return 0;
  await query('DELETE FROM arqon_outbox WHERE number = ANY ($1::bigint[])', [rows.map(({ number }) => number)]);
  // Nobody in this process waits for them, so they have no numbers.
  const items = rows.map((row) => ({ publication: publicationOf(row, retention), number: 0 }));
  await query(APPEND, [randomToken(26), false, ...layOut(items, '').parameters]);
  return rows.length;
}

/** An existing stream keeps its retention; a new one gets the configured one. */
function publicationOf(row: OutboxRow, retention: Retention): Publication {
  const { tenant, room, channel, id, time, payload, size, ttl_ms: ttlMs, max_bytes: bytes, keep_last: keepLast } = row;
  const draft = openDraft(
    { id, type: 'event', room, channel, from: SERVER, payload: JSON.parse(payload) as JsonObject },
    time,
  );
  const bounds = { ...(bytes === null ? {} : { bytes }), ...(keepLast === true ? { keepLast } : {}) };
  const kept = size === null || ttlMs === null ? retention : { size, ttlMs, ...bounds };
  return { stream: { tenant, room, channel }, draft, identity: IDENTITY, retention: kept };
}
