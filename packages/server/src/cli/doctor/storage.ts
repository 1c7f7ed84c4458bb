import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Engine, EngineEvents } from '@arqonbus/bus';
import { newSecretId } from '@arqonbus/protocol';
import type { Config } from '../../config/config.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { messageOf } from '../exit.ts';
import { sentence } from '../remote/failure.ts';
import { type Finding, failed, ok, warn } from './finding.ts';

const CHECK = 'storage';
const OPEN_TIMEOUT_MS = 5_000;

/** No clients are connected, so nothing is delivered. */
const DEAF: EngineEvents = {
  deliver: () => 0,
  receive: () => {},
  health: () => {},
  historyGap: () => {},
  trimmed: () => {},
  gap: () => {},
};

/** Checks whether the storage backend can be opened. Creates nothing, not even a missing database file. */
export async function checkStorage({ storage }: Config, busRuns: boolean): Promise<Finding> {
  const { backend } = storage;
  if (backend === 'memory') {
    return warn(
      CHECK,
      'History is kept in memory and lost at a restart.',
      'Choose sqlite, postgres or redis to keep it.',
    );
  }
  if (backend === 'sqlite' && !existsSync(storage.sqlitePath)) return checkFolder(storage.sqlitePath);
  if (backend === 'sqlite' && busRuns)
    return ok(CHECK, `${storage.sqlitePath} is in use by the bus that runs, and was not opened.`);
  try {
    const [first, ...others] = await withTimeout(withEngine(storage, async ({ warnings = [] }) => warnings));
    if (first === undefined) return ok(CHECK, `${backend} answers.`);
    return warn(
      CHECK,
      [first, ...others].join(' '),
      `Change it in ${backend}, and look again with "arqon storage check".`,
    );
  } catch (error) {
    const reason = messageOf(error);
    const message = `${backend} cannot be opened: ${sentence(reason)}`;
    // An error that names a setting already says what to change.
    return /ARQONBUS_\w+ is set/.test(reason)
      ? failed(CHECK, message)
      : failed(CHECK, message, 'Check that it runs, and its address.');
  }
}

function checkFolder(path: string): Finding {
  const folder = dirname(resolve(path));
  try {
    accessSync(folder, constants.W_OK);
    return ok(CHECK, `${path} will be created at the first start.`);
  } catch {
    return failed(
      CHECK,
      `${folder} cannot be written to.`,
      'Create the folder, or choose another with ARQONBUS_SQLITE_PATH.',
    );
  }
}

/** Opens the storage for `use` and closes it afterwards. Rejects with one sentence if it cannot be used. */
export async function withEngine<T>(storage: Config['storage'], use: (engine: Engine) => Promise<T>): Promise<T> {
  const { loadEngine } = await import('@arqonbus/bus');
  // In strict mode, opening fails if the backend is unavailable, instead of waiting.
  const engine = await loadEngine({ ...storageOptions(storage, newSecretId('doctor_')), mode: 'strict' });
  try {
    await engine.open(DEAF);
    if (!engine.healthy()) throw new Error('it does not answer');
    return await use(engine);
  } finally {
    await engine.close();
  }
}

async function withTimeout<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${OPEN_TIMEOUT_MS / 1000} s`)), OPEN_TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, overdue]);
  } finally {
    clearTimeout(timer);
  }
}
