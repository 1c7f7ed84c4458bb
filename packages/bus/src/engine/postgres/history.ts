import { randomToken, seal } from '@arqonbus/protocol';
import type { HistoryQuery, Retention, StoredEvent, StreamAddress, StreamState, StreamUsage } from '../engine.ts';
import { REST_MS } from '../rest.ts';
import { limitsOf } from './publisher.ts';
import type { Session } from './session.ts';

const EPOCH_LENGTH = 16;
const LARGEST = Number.MAX_SAFE_INTEGER;

/** Totals for an engine's statistics. */
export interface Totals {
  readonly streams: number;
  readonly messages: number;
  readonly bytes: number;
}

export async function stateOf(session: Session, { tenant, room, channel }: StreamAddress): Promise<StreamState> {
  const [row] = await session.query('SELECT * FROM arqon_state($1, $2, $3, $4, $5)', [
    ...[tenant, room, channel, randomToken(EPOCH_LENGTH), REST_MS],
  ]);
  return stateIn(row as unknown as StreamState);
}

/** The state of an existing stream. */
export async function findStream(
  session: Session,
  { tenant, room, channel }: StreamAddress,
): Promise<StreamState | null> {
  const [row] = await session.query(
    `SELECT s.sequence, s.epoch, arqon_oldest(s, arqon_now()) AS oldest FROM arqon_streams s
     WHERE s.tenant = $1 AND s.room = $2 AND s.channel = $3`,
    [tenant, room, channel],
  );
  return row === undefined ? null : stateIn(row as unknown as StreamState);
}

function stateIn({ sequence, epoch, oldest }: StreamState): StreamState {
  return { sequence, epoch, oldest };
}

export async function readHistory(
  session: Session,
  { tenant, room, channel }: StreamAddress,
  query: HistoryQuery,
): Promise<StoredEvent[]> {
  const isLast = query.take === 'last';
  const rows = await session.query(
    `SELECT m.sequence, m.time, m.sender, m.body, s.epoch
     FROM arqon_streams s
       CROSS JOIN LATERAL (SELECT arqon_oldest(s, arqon_now()) AS oldest OFFSET 0) o
       CROSS JOIN LATERAL (
         SELECT * FROM arqon_messages m
         WHERE m.stream = s.id AND m.sequence BETWEEN greatest($4::bigint, o.oldest) AND $5::bigint
           AND m.time BETWEEN $6::bigint AND $7::bigint
         ORDER BY m.sequence ${isLast ? 'DESC' : 'ASC'} LIMIT $8
       ) m
     WHERE s.tenant = $1 AND s.room = $2 AND s.channel = $3`,
    [
      ...[tenant, room, channel, query.fromSequence ?? 0, query.toSequence ?? LARGEST],
      ...[query.fromTime ?? -LARGEST, query.toTime ?? LARGEST, query.limit],
    ],
  );
  const events = rows.map((row) => {
    const { sequence, time, sender, body, epoch } = row as { sequence: number; time: number } & Record<string, string>;
    return { sequence, time, from: String(sender), text: seal(String(body), sequence, String(epoch)) };
  });
  return isLast ? events.reverse() : events;
}

export async function listTenants(session: Session): Promise<string[]> {
  const rows = await session.query('SELECT DISTINCT tenant FROM arqon_streams', []);
  return rows.map((row) => String(row.tenant));
}

export async function retentionOf(
  session: Session,
  { tenant, room, channel }: StreamAddress,
): Promise<Retention | null> {
  const [row] = await session.query(
    `SELECT size, ttl_ms, max_bytes, keep_last FROM arqon_streams
     WHERE tenant = $1 AND room = $2 AND channel = $3`,
    [tenant, room, channel],
  );
  if (row === undefined) return null;
  const { size, ttl_ms: ttlMs, max_bytes: bytes, keep_last: keepLast } = row;
  return {
    ...{ size: Number(size), ttlMs: Number(ttlMs) },
    ...(bytes === null ? {} : { bytes: Number(bytes) }),
    ...(keepLast === true ? { keepLast } : {}),
  };
}

/** How much each stream keeps. Each is looked up individually, so that no query plan can read a whole table. */
export async function usageOf(session: Session, streams: readonly StreamAddress[]): Promise<StreamUsage[]> {
  const rows = await session.query(
    `SELECT coalesce((f.s).sequence, 0) AS sequence, coalesce((f.s).sequence - f.oldest + 1, 0) AS events,
       coalesce((f.s).bytes - (
         SELECT m.start FROM arqon_messages m WHERE m.stream = (f.s).id AND m.sequence = f.oldest
       ), 0) AS bytes
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY u (tenant, room, channel, n)
       LEFT JOIN LATERAL (
         SELECT s, arqon_oldest(s, arqon_now()) AS oldest FROM arqon_streams s
         WHERE s.tenant = u.tenant AND s.room = u.room AND s.channel = u.channel LIMIT 1
       ) f ON true
     ORDER BY u.n`,
    [streams.map(({ tenant }) => tenant), streams.map(({ room }) => room), streams.map(({ channel }) => channel)],
  );
  return rows.map((row) => {
    const { sequence, events, bytes } = row as unknown as StreamUsage;
    return { sequence, events, bytes };
  });
}

/** Streams that hold or held events. */
export async function listStreams(session: Session, tenant: string, room?: string): Promise<StreamAddress[]> {
  const rows = await session.query(
    `SELECT room, channel FROM arqon_streams
     WHERE tenant = $1 AND ($2::text IS NULL OR room = $2) AND sequence > 0 ORDER BY id`,
    [tenant, room ?? null],
  );
  return rows.map((row) => ({ tenant, room: String(row.room), channel: String(row.channel) }));
}

export async function retainStream(session: Session, stream: StreamAddress, retention: Retention): Promise<void> {
  const { tenant, room, channel } = stream;
  await session.query('SELECT arqon_retain($1, $2, $3, $4, $5, $6, $7, $8)', [
    ...[tenant, room, channel, ...limitsOf(retention), REST_MS],
  ]);
}

/** Forgets a stream; its contents are deleted later in small steps. */
export async function dropStream(session: Session, { tenant, room, channel }: StreamAddress): Promise<void> {
  await session.query(
    `WITH gone AS (DELETE FROM arqon_streams WHERE tenant = $1 AND room = $2 AND channel = $3 RETURNING id)
     INSERT INTO arqon_dropped (stream) SELECT id FROM gone`,
    [tenant, room, channel],
  );
}

/** Exact counts for small tables; for larger ones the number of messages is the server's latest estimate. */
export async function countTotals(session: Session): Promise<Totals> {
  const [row] = await session.query(
    `SELECT (SELECT count(*) FROM arqon_streams WHERE sequence > 0) AS streams,
       CASE WHEN c.reltuples > 1e6 THEN c.reltuples::bigint
         ELSE (SELECT count(*) FROM arqon_messages m WHERE EXISTS (SELECT FROM arqon_streams s WHERE s.id = m.stream))
       END AS messages,
       pg_total_relation_size(c.oid) AS bytes
     FROM pg_class c WHERE c.oid = 'arqon_messages'::regclass`,
  );
  const { streams, messages, bytes } = row as unknown as Totals;
  return { streams, messages, bytes };
}
