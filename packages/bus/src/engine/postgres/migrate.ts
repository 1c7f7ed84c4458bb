import { readFileSync } from 'node:fs';
import { randomToken } from '@arqonbus/protocol';
import type { Query, Session } from './session.ts';

/** Version of the tables and functions, kept in `arqon_meta`. A database with a higher one is rejected. */
export const SCHEMA_VERSION = 1;

/** The files that migrate a database from one version to the next, in order; index 0 creates a new one. */
const MIGRATIONS: readonly (readonly string[])[] = [['tables', 'streams', 'keys', 'publish']];

/** The advisory lock under which one node at a time migrates the schema; the letters "ArqB". */
const LOCK = 0x41_72_71_42;

/** The database does not fit this release; its message is the sentence to show, and retrying does not help. */
export class SchemaFault extends Error {}

/**
 * Creates or migrates the tables, one node at a time. Returns whether the tail of stored data may have been lost since
 * a node last connected (the server failed over, or was restored from a copy): in that case every stream has a new
 * epoch.
 */
export function migrate(session: Session): Promise<{ readonly isOther: boolean }> {
  const { schema, lineage } = session.state;
  return session.transaction(async (query) => {
    // Per schema, so that several buses in one database do not wait for each other.
    await query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [LOCK, schema]);
    const version = await versionOf(query);
    if (version > SCHEMA_VERSION) {
      throw new SchemaFault(
        `The tables in the PostgreSQL schema ${schema} are of version ${version}, and this release knows ${SCHEMA_VERSION}: start the newer release.`,
      );
    }
    for (const files of MIGRATIONS.slice(version)) {
      for (const file of files) await query(sqlOf(file).replaceAll('@schema@', schema));
    }
    if (version < SCHEMA_VERSION) await note(query, 'version', String(SCHEMA_VERSION));
    return { isOther: await renewIfOther(query, lineage) };
  });
}

async function versionOf(query: Query): Promise<number> {
  const [found] = await query(`SELECT to_regclass('arqon_meta') IS NOT NULL AS there`);
  if (found?.there !== true) return 0;
  const [row] = await query(`SELECT value FROM arqon_meta WHERE key = 'version'`);
  return Number(row?.value ?? 0);
}

async function note(query: Query, key: string, value: string): Promise<void> {
  await query(
    'INSERT INTO arqon_meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    [key, value],
  );
}

/** Gives all streams new epochs if the server does not continue the one on which the tables were last used. */
async function renewIfOther(query: Query, lineage: string): Promise<boolean> {
  const [known] = await query(`SELECT value FROM arqon_meta WHERE key = 'lineage'`);
  if (known?.value === lineage) return false;
  await note(query, 'lineage', lineage);
  if (known === undefined) return false;
  await query('UPDATE arqon_streams SET epoch = $1 || id::text WHERE sequence > 0', [randomToken(12)]);
  // In a copy restored to another server, transactions of the old one would appear to be in the future.
  for (const table of ['arqon_messages', 'arqon_changes', 'arqon_signals']) {
    await query(`UPDATE ${table} SET xid = '0' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())`);
  }
  return true;
}

function sqlOf(name: string): string {
  return readFileSync(new URL(`./${name}.sql`, import.meta.url), 'utf8');
}
