import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BackupCounts, BackupRecord, Engine } from '@arqonbus/bus';
import { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import { UsageError } from '../exit.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import { printJsonLine, printResult, remark } from '../terminal/output.ts';
import { lines, text } from '../terminal/styled-text.ts';
import { withExamples } from '../verb.ts';

const STANDARD = '-';
/** A backup contains private messages. */
const OWNER_ONLY = 0o600;

/** `arqon backup`: the whole storage in a file that any storage can restore. */
export function backupVerb(): Command {
  const verb = new Command('backup')
    .description(
      'Write the whole storage, events and keys of all tenants, to a file of JSON lines that "arqon restore" ' +
        'loads into storage of any kind. A bus may run on Redis or PostgreSQL meanwhile; on SQLite it must be stopped. ' +
        'Takes the flags of "arqon serve".',
    )
    .argument('<file>', 'where to write it, or "-" for standard output; an existing file is replaced at the end');
  verb.option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon backup bus.backup --storage sqlite --sqlite-path bus.db',
    'arqon backup - | gzip > bus.backup.gz',
  );
  return verb.action(async (file: string, flags: Flags) => {
    const { config } = await requireSettings(flags);
    const { backend, sqlitePath } = config.storage;
    if (backend === 'sqlite' && !existsSync(sqlitePath)) {
      throw new Error(`There is no SQLite database at ${sqlitePath}: name the one of the bus with --sqlite-path.`);
    }
    const counts = await withStorage(config, async (engine) => {
      const { backupRecords } = await import('@arqonbus/bus');
      return file === STANDARD ? printAll(backupRecords(engine)) : writeAll(file, backupRecords(engine));
    });
    const sentence = text`Backed up ${describe(counts)} of the ${backend} storage.`;
    if (file === STANDARD) remark(sentence);
    else await printResult(flags.json === true, { file, backend, ...counts }, () => lines([sentence]));
  });
}

/** `arqon restore`: loads such a file into the storage. */
export function restoreVerb(): Command {
  const verb = new Command('restore')
    .description(
      'Load a file of "arqon backup" into empty storage, read it back and compare it. The whole file is checked ' +
        'before anything is written. No bus may run on the storage. Takes the flags of "arqon serve".',
    )
    .argument('<file>', 'the backup, or "-" for standard input');
  verb.option('--into-existing', 'replace objects with the same names in the storage; everything else stays');
  verb.option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon restore bus.backup --storage sqlite --sqlite-path new.db',
    'gunzip -c bus.backup.gz | ARQONBUS_STORAGE_BACKEND=postgres arqon restore -',
  );
  return verb.action(async (file: string, flags: Flags & { readonly intoExisting?: boolean }) => {
    const { intoExisting = false, ...settings } = flags;
    const { config } = await requireSettings(settings);
    const counts = await withFile(file, async (path) => {
      const { checkBackup, restoreBackup } = await import('@arqonbus/bus');
      await checkBackup(createReadStream(path));
      return withStorage(config, (engine) => restoreBackup(engine, createReadStream(path), { intoExisting }));
    });
    const { backend } = config.storage;
    await printResult(flags.json === true, { file, backend, ...counts }, () =>
      lines([text`Restored ${describe(counts)} into the ${backend} storage.`]),
    );
  });
}

function describe({ events, streams, keys }: BackupCounts): string {
  return `${events} events of ${streams} streams and ${keys} keys`;
}

async function withStorage<T>(config: Config, use: (engine: Engine) => Promise<T>): Promise<T> {
  if (config.storage.backend === 'memory') {
    throw new UsageError(
      'What storage in memory holds is in the process of its bus: choose another with --storage or ARQONBUS_STORAGE_BACKEND.',
    );
  }
  const { withEngine } = await import('../doctor/storage.ts');
  return withEngine(config.storage, use);
}

/** Prints records as they are read; returns their counts. */
async function printAll(records: AsyncIterable<BackupRecord>): Promise<BackupCounts> {
  let counts = NOTHING;
  for await (const record of records) {
    if (record.kind === 'end') counts = countsOf(record);
    await printJsonLine(record);
  }
  return counts;
}

/** Writes a file atomically. */
async function writeAll(file: string, records: AsyncIterable<BackupRecord>): Promise<BackupCounts> {
  const part = `${file}.part`;
  let counts = NOTHING;
  async function* written(): AsyncGenerator<string> {
    for await (const record of records) {
      if (record.kind === 'end') counts = countsOf(record);
      yield `${JSON.stringify(record)}\n`;
    }
  }
  try {
    await pipeline(Readable.from(written()), createWriteStream(part, { mode: OWNER_ONLY, flush: true }));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return counts;
}

const NOTHING: BackupCounts = { keys: 0, streams: 0, events: 0 };

function countsOf({ keys, streams, events }: BackupCounts): BackupCounts {
  return { keys, streams, events };
}

/** A backup is read twice, so standard input is copied to a temporary file. */
async function withFile<T>(file: string, use: (path: string) => Promise<T>): Promise<T> {
  if (file !== STANDARD) {
    if (!existsSync(file)) throw new Error(`There is no file ${file}.`);
    return use(file);
  }
  if (process.stdin.isTTY) throw new UsageError('Standard input is a terminal: pipe a backup into it, or name a file.');
  const folder = await mkdtemp(join(tmpdir(), 'arqonbus-restore-'));
  try {
    const path = join(folder, 'backup');
    await pipeline(process.stdin, createWriteStream(path, { mode: OWNER_ONLY }));
    return await use(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
