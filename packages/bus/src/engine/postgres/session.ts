import type { Options, PostgresType, Sql } from 'postgres';
import type { Durability } from '../engine.ts';
import type { PostgresAddress } from './address.ts';

const CONNECT_TIMEOUT_S = 5;
/** Connections for queries and key changes, in addition to one that publishes and two that read new events. */
const GENERAL_CONNECTIONS = 4;
const PULSE_MS = 1_000;
/** Unanswered pulses after which the server counts as lost, even if the connection was not closed. */
const MISSED_PULSES = 3;
const LISTEN_AGAIN_MS = 1_000;
const OLDEST_VERSION = 140_000;

/** The types of query parameters. */
export type Parameter = string | number | boolean | null | readonly (string | number | null)[];
export type Row = Readonly<Record<string, unknown>>;

/** What the server reports about itself. */
interface ServerState {
  readonly durability: Durability;
  /** Changes when the tail of stored data may have been lost: a failover, a restart without sync, a restored copy. */
  readonly lineage: string;
  readonly warnings: readonly string[];
  /** The current schema, quoted for SQL. */
  readonly schema: string;
}

/** Runs one statement; names and values are parameters, never part of its text. */
export type Query = (text: string, parameters?: readonly Parameter[]) => Promise<Row[]>;

/** The server as seen by the engine, from connecting until any of its connections is lost. */
export interface Session {
  readonly state: ServerState;
  /** For queries and short changes. */
  readonly query: Query;
  /** For publishing: one connection, so that batches keep their order. */
  readonly write: Query;
  /** For reading what other nodes stored: never queued behind a slow query. */
  readonly read: Query;
  /** Runs several statements in one transaction. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Reports every notification on the engine's channel, and an empty text whenever listening (re)starts. */
  listen(onNotify: (payload: string) => void): Promise<void>;
  notify(payload: string): Promise<void>;
  close(): void;
}

export interface SessionEvents {
  lost(reason: string): void;
}

/** Connects and probes the server. Rejects with the driver's error, or one sentence. */
export async function openSession(address: PostgresAddress, name: string, events: SessionEvents): Promise<Session> {
  const { default: postgres } = await import('postgres');
  let closed = false;
  const lose = (reason: string): void => {
    if (closed) return;
    session.close();
    events.lost(reason);
  };
  const requireOpen = (): void => {
    if (closed) throw Object.assign(new Error('the connection was closed'), { code: 'CONNECTION_ENDED' });
  };
  const connect = (url: string, max: number): Sql => postgres(url, optionsOf(address, name, max, lose));
  const general = connect(address.url, GENERAL_CONNECTIONS);
  const writer = connect(address.url, 1);
  const reader = connect(address.url, 2);
  const pools = [general, writer, reader];
  const { prepare } = address;
  const through =
    (sql: Pick<Sql, 'unsafe'>): Query =>
    async (text, parameters = []) => {
      requireOpen();
      return sql.unsafe(text, parameters.map(written) as never[], { prepare }) as unknown as Promise<Row[]>;
    };
  let missed = 0;
  const pulse = setInterval(() => {
    if (missed >= MISSED_PULSES) return lose(`it did not answer for ${(PULSE_MS * MISSED_PULSES) / 1000} s`);
    missed += 1;
    through(reader)('SELECT 1').then(
      () => {
        missed = 0;
      },
      () => {},
    );
  }, PULSE_MS);
  pulse.unref();
  let state: ServerState | undefined;
  const session: Session = {
    get state() {
      if (state === undefined) throw new Error('The session is not open yet.');
      return state;
    },
    query: through(general),
    write: through(writer),
    read: through(reader),
    async transaction(work) {
      requireOpen();
      const reserved = await general.reserve();
      const query = through(reserved);
      try {
        await query('BEGIN');
        const result = await work(query);
        await query('COMMIT');
        return result;
      } catch (error) {
        // The driver's own `begin` also sends this on a lost connection, and throws where it cannot be caught.
        if (!closed) await query('ROLLBACK').catch(() => {});
        throw error;
      } finally {
        if (!closed) reserved.release();
      }
    },
    async listen(onNotify) {
      let again: NodeJS.Timeout | undefined;
      // Losing the listener does not mean the server is lost: events are read without it too, only later.
      const lost = (): void => {
        clearTimeout(again);
        again = setTimeout(() => void start().catch(() => {}), LISTEN_AGAIN_MS);
        again.unref();
      };
      // `onnotify` exists, although the driver's types do not declare it.
      const onnotify = (_channel: string, payload: string): void => onNotify(payload);
      const options = { ...optionsOf(address, name, 1, () => !closed && lost()), onnotify };
      const listener = postgres(address.listenUrl, options);
      pools.push(listener);
      const start = async (): Promise<void> => {
        // LISTEN takes no parameters; in double quotes, with inner quotes doubled, any name is safe.
        await listener.unsafe(`LISTEN "${channelOf(session.state.schema).replaceAll('"', '""')}"`);
        onNotify('');
      };
      await start();
    },
    async notify(payload) {
      await session.query('SELECT pg_notify($1, $2)', [channelOf(session.state.schema), payload]);
    },
    close() {
      closed = true;
      clearInterval(pulse);
      // Immediately: queries in progress reject.
      for (const pool of pools) pool.end({ timeout: 0 }).catch(() => {});
    },
  };
  try {
    state = await examine(session.query);
  } catch (error) {
    session.close();
    throw error;
  }
  return session;
}

function optionsOf(
  { prepare }: PostgresAddress,
  name: string,
  max: number,
  lose: (reason: string) => void,
): Options<Record<string, PostgresType>> {
  return {
    max,
    prepare,
    connect_timeout: CONNECT_TIMEOUT_S,
    idle_timeout: 0,
    max_lifetime: null,
    // Otherwise the driver queries the array types on every connection, and a failure of that could not be caught.
    fetch_types: false,
    connection: { application_name: `arqonbus ${name}` },
    onnotice: () => {},
    onclose: () => lose('the connection was closed'),
    types: { bigint: { to: 20, from: [20], serialize: String, parse: Number } },
  };
}

/** A parameter in the driver's format; lists as PostgreSQL array literals. */
function written(parameter: Parameter): Exclude<Parameter, readonly unknown[]> {
  if (typeof parameter !== 'object' || parameter === null) return parameter;
  const items = parameter.map((item) => {
    if (item === null) return 'NULL';
    return typeof item === 'number' ? `${item}` : `"${item.replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${items.join(',')}}`;
}

/** The wake-up channel of a bus: notifications are per database, buses per schema. */
function channelOf(schema: string): string {
  return `arqon_${schema}`;
}

async function examine(query: Query): Promise<ServerState> {
  const [row = {}] = await query(
    `SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS shown,
       pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS commit, current_setting('synchronous_standby_names') AS standbys,
       quote_ident(current_schema()) AS schema, extract(epoch FROM pg_postmaster_start_time())::text AS started,
       (SELECT system_identifier::text FROM pg_control_system()) AS system,
       (SELECT timeline_id::text FROM pg_control_checkpoint()) AS timeline`,
  );
  const { version, shown, standby, fsync, commit, standbys, schema, started, system, timeline } = row;
  if (Number(version) < OLDEST_VERSION) {
    throw new Error(`it is PostgreSQL ${String(shown)}, and the bus needs 14 or newer`);
  }
  if (standby === true) throw new Error('it is a standby, which takes no writes');
  if (schema === null) throw new Error('its user has no schema to make tables in (see its search_path)');
  const isSynced = fsync === 'on' && commit !== 'off';
  const isReplicated = isSynced && standbys !== '' && commit !== 'local';
  const warnings: string[] = [];
  if (fsync !== 'on') {
    warnings.push('The PostgreSQL server has fsync off: a crash of its machine may damage the whole database.');
  } else if (commit === 'off') {
    warnings.push('The PostgreSQL server has synchronous_commit off: a crash loses the last events that were acked.');
  }
  // With synchronous standbys a failover loses nothing; without synced commits any shutdown may lose data.
  const lineage = isReplicated ? `${system}` : `${system} ${timeline}${isSynced ? '' : ` ${started}`}`;
  return {
    durability: isReplicated ? 'replicated' : isSynced ? 'disk' : 'memory',
    lineage,
    warnings,
    schema: String(schema),
  };
}
