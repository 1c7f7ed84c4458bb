import type { Options, PostgresType, Sql } from 'postgres';
import type { Durability } from '../engine.ts';
import type { PostgresAddress } from './address.ts';

const CONNECT_TIMEOUT_S = 5;
/** Connections for questions and for what changes keys, beside one that publishes and two that read the news. */
const GENERAL_CONNECTIONS = 4;
const PULSE_MS = 1_000;
/** Pulses without an answer after which the server counts as lost, though nobody closed the connection. */
const MISSED_PULSES = 3;
const LISTEN_AGAIN_MS = 1_000;
const OLDEST_VERSION = 140_000;

/** What a value of a query may be. */
export type Parameter = string | number | boolean | null | readonly (string | number | null)[];
export type Row = Readonly<Record<string, unknown>>;

/** What the server says of itself. */
interface ServerState {
  readonly durability: Durability;
  /** Changes when the end of what was stored may have been lost: a failover, a restart without sync, a restored copy. */
  readonly lineage: string;
  readonly warnings: readonly string[];
  /** The schema that names without one mean, as SQL writes it. */
  readonly schema: string;
}

/** Runs one statement; names and values are parameters, never part of its text. */
export type Query = (text: string, parameters?: readonly Parameter[]) => Promise<Row[]>;

/** The server as the engine uses it, between one connect and the loss of any of its connections. */
export interface Session {
  readonly state: ServerState;
  /** For questions and short changes. */
  readonly query: Query;
  /** For publishing: one connection, so that batches keep their order. */
  readonly write: Query;
  /** For reading what other nodes stored: never behind a slow question. */
  readonly read: Query;
  /** Runs several statements in one transaction. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  /** Tells of every notification on the engine's channel, and with an empty text when that has begun (or begun again). */
  listen(onNotify: (payload: string) => void): Promise<void>;
  notify(payload: string): Promise<void>;
  close(): void;
}

export interface SessionEvents {
  lost(reason: string): void;
}

/** Connects and asks what is there. Rejects with the driver's error, or one sentence. */
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
        // The driver's own `begin` also asks a connection that is lost for this, and throws where nobody can catch it.
        if (!closed) await query('ROLLBACK').catch(() => {});
        throw error;
      } finally {
        if (!closed) reserved.release();
      }
    },
    async listen(onNotify) {
      let again: NodeJS.Timeout | undefined;
      // Its loss is not the server's: news are read without it too, only later.
      const lost = (): void => {
        clearTimeout(again);
        again = setTimeout(() => void start().catch(() => {}), LISTEN_AGAIN_MS);
        again.unref();
      };
      // `onnotify` is there, though the driver's types do not say so.
      const onnotify = (_channel: string, payload: string): void => onNotify(payload);
      const options = { ...optionsOf(address, name, 1, () => !closed && lost()), onnotify };
      const listener = postgres(address.listenUrl, options);
      pools.push(listener);
      const start = async (): Promise<void> => {
        // A name cannot be a parameter of LISTEN; in double quotes with those inside doubled it is a name whatever it holds.
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
      // At once: what is under way rejects.
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
    // The driver would ask every connection for the types of arrays, and nobody would catch the failure of that.
    fetch_types: false,
    connection: { application_name: `arqonbus ${name}` },
    onnotice: () => {},
    onclose: () => lose('the connection was closed'),
    types: { bigint: { to: 20, from: [20], serialize: String, parse: Number } },
  };
}

/** A parameter as the driver passes it on; lists as the text that the server reads arrays from. */
function written(parameter: Parameter): Exclude<Parameter, readonly unknown[]> {
  if (typeof parameter !== 'object' || parameter === null) return parameter;
  const items = parameter.map((item) => {
    if (item === null) return 'NULL';
    return typeof item === 'number' ? `${item}` : `"${item.replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${items.join(',')}}`;
}

/** The channel that nodes of one bus wake each other on: notifications are of a database, buses of a schema. */
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
  // A server that waits for its standbys loses nothing by a failover; one that does not wait for its disk may by any end.
  const lineage = isReplicated ? `${system}` : `${system} ${timeline}${isSynced ? '' : ` ${started}`}`;
  return {
    durability: isReplicated ? 'replicated' : isSynced ? 'disk' : 'memory',
    lineage,
    warnings,
    schema: String(schema),
  };
}
