import type Database from 'libsql';
import { DatabaseFault } from './faults.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';

type Handle = InstanceType<typeof Database>;
export type Row = readonly unknown[];

/** How long a statement waits for another process, such as a backup, before it fails. */
const BUSY_TIMEOUT_MS = 1_000;
/** Maximum size of the write-ahead log on disk after a checkpoint. */
const LOG_BYTES = 64 * 1_048_576;
/** More than the free space of any page: writing it needs new pages, so that a probe fails where a batch would. */
const PROBE_LENGTH = 65_536;

/** The open database, on the worker thread. Every method blocks until SQLite has answered. */
export class Connection {
  readonly #db: Handle;
  readonly #lock: Handle;
  readonly #statements = new Map<string, ReturnType<Handle['prepare']>>();
  /** Messages in the table; null until requested. Updated from then on, since counting takes a full scan. */
  #messages: number | null = null;
  /** The current transaction's change to that number. */
  #change = 0;

  private constructor(db: Handle, lock: Handle) {
    this.#db = db;
    this.#lock = lock;
  }

  /** Opens or creates the database at `path`. If it is not writable, closes everything and throws. */
  static async open(path: string): Promise<Connection> {
    const { default: Driver } = await import('libsql');
    // Two buses on one file would assign the same sequences. The lock is a separate file, so that backups and the
    // sqlite3 shell can still read the database; the system releases it when the process ends, however that happens.
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

  /** Runs a statement; returns the number of rows changed. */
  run(sql: string, ...values: unknown[]): number {
    return this.#prepared(sql).run(values).changes;
  }

  /** Everything that `work` writes is on disk when this returns; nothing of it is kept when this throws. */
  transaction<T>(work: () => T): T {
    this.#change = 0;
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      if (this.#messages !== null) this.#messages += this.#change;
      return result;
    } catch (error) {
      // A full disk has already ended the transaction.
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Records how many messages the current transaction added or, if negative, deleted. */
  countMessages(change: number): void {
    this.#change += change;
  }

  stats(): { messages: number; bytes: number } {
    this.#messages ??= Number(this.rows('SELECT count(*) FROM messages')[0]?.[0]);
    const [pages] = this.rows('PRAGMA page_count');
    const [size] = this.rows('PRAGMA page_size');
    return { messages: this.#messages, bytes: Number(pages?.[0]) * Number(size?.[0]) };
  }

  /** The latest time passed to {@link noteTime}, or 0. */
  latestTime(): number {
    return Number(this.rows('SELECT time FROM clock')[0]?.[0] ?? 0);
  }

  /** Stores the time of the current transaction: after a restart the clock continues from there. */
  noteTime(now: number): void {
    this.run(
      'INSERT INTO clock (id, time) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET time = max(time, excluded.time)',
      now,
    );
  }

  /** Throws if the database is not writable. */
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
    // Acquires the write lock, which fails on a read-only file.
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
