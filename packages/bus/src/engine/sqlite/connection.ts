import type Database from 'libsql';
import { DatabaseFault } from './faults.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

type Handle = InstanceType<typeof Database>;
export type Row = readonly unknown[];

/** How long a statement waits for another process, a backup say, before it fails. */
const BUSY_TIMEOUT_MS = 1_000;
/** What a checkpoint leaves of the write-ahead log on the disk. */
const LOG_BYTES = 64 * 1_048_576;
/** More than the slack of any page: writing it needs new ones, so that a probe fails where a batch would. */
const PROBE_LENGTH = 65_536;

/** The open database, on the worker's thread. Every method blocks until SQLite has answered. */
export class Connection {
  readonly #db: Handle;
  readonly #lock: Handle;
  readonly #statements = new Map<string, ReturnType<Handle['prepare']>>();
  /** Messages in the table; null until somebody asked. Kept up to date from then on, for counting takes a full scan. */
  #messages: number | null = null;
  /** What the present transaction does to that number. */
  #change = 0;

  private constructor(db: Handle, lock: Handle) {
    this.#db = db;
    this.#lock = lock;
  }

  /** Opens or creates the database at `path`. Throws, with nothing left open, when it cannot be written. */
  static async open(path: string): Promise<Connection> {
    const { default: Driver } = await import('libsql');
    // Two buses on one file would give out the same sequences. The lock is a file of its own, so that backups and the
    // sqlite3 shell can still read the database; the system lets go of it with the process, however that ends.
    const lock = new Driver(`${path}.lock`);
    let db: Handle | undefined;
    try {
      lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      db = new Driver(path);
      const connection = new Connection(db, lock);
      connection.#prepareFile(path);
      return connection;
    } catch (error) {
      db?.close();
      lock.close();
      throw error;
    }
  }

  /** The rows of a query, each an array of its columns. */
  rows(sql: string, ...values: unknown[]): Row[] {
    return this.#prepared(sql).raw().all(values) as Row[];
  }

  /** Runs a statement; answers how many rows it changed. */
  run(sql: string, ...values: unknown[]): number {
    return this.#prepared(sql).run(values).changes;
  }

  /** Everything that `work` writes is on the disk when this returns; nothing of it is kept when this throws. */
  transaction<T>(work: () => T): T {
    this.#change = 0;
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      if (this.#messages !== null) this.#messages += this.#change;
      return result;
    } catch (error) {
      // A full disk has ended the transaction already.
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Tells how many messages the present transaction added or, negative, took away. */
  countMessages(change: number): void {
    this.#change += change;
  }

  stats(): { messages: number; bytes: number } {
    this.#messages ??= Number(this.rows('SELECT count(*) FROM messages')[0]?.[0]);
    const [pages] = this.rows('PRAGMA page_count');
    const [size] = this.rows('PRAGMA page_size');
    return { messages: this.#messages, bytes: Number(pages?.[0]) * Number(size?.[0]) };
  }

  /** The latest time that {@link noteTime} was given, 0 when there was none. */
  latestTime(): number {
    return Number(this.rows('SELECT time FROM clock')[0]?.[0] ?? 0);
  }

  /** Remembers the time of the present transaction: after a restart the clock goes on from there. */
  noteTime(now: number): void {
    this.run(
      'INSERT INTO clock (id, time) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET time = max(time, excluded.time)',
      now,
    );
  }

  /** Throws when writing does not work. */
  probe(): void {
    this.transaction(() => this.run('INSERT INTO probe (filler) VALUES (?)', ' '.repeat(PROBE_LENGTH)));
    this.transaction(() => this.run('DELETE FROM probe'));
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
    this.#lock.close();
  }

  #prepareFile(path: string): void {
    const db = this.#db;
    db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    const version = Number(this.rows('PRAGMA user_version')[0]?.[0]);
    const application = Number(this.rows('PRAGMA application_id')[0]?.[0]);
    const tables = Number(this.rows('SELECT count(*) FROM sqlite_schema')[0]?.[0]);
    const file = `The SQLite database ${path}`;
    if (tables > 0 && application !== APPLICATION_ID) {
      throw new DatabaseFault(`${file} belongs to another application: choose another path.`);
    }
    if (version > SCHEMA_VERSION) {
      throw new DatabaseFault(
        `${file} has schema version ${version}, and this ArqonBus knows versions up to ${SCHEMA_VERSION}: run the newer release that wrote it.`,
      );
    }
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${LOG_BYTES}`);
    for (let step = version; step < SCHEMA_VERSION; step += 1) {
      this.transaction(() => {
        db.exec(MIGRATIONS[step] ?? '');
        db.exec(`PRAGMA user_version = ${step + 1}; PRAGMA application_id = ${APPLICATION_ID}`);
      });
    }
    // Asks for the write lock, which a file that is read-only refuses.
    this.transaction(() => undefined);
  }

  #prepared(sql: string): ReturnType<Handle['prepare']> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
