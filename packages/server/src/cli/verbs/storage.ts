import type { Engine } from '@arqonbus/bus';
import { Command } from 'commander';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import { printResult } from '../terminal/output.ts';
import { lines, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon storage`: the configured storage, without a bus. */
export function storageVerb(): Command {
  const verb = new Command('storage').description(
    'Inspect or prepare the storage that "arqon serve" would open in this folder, without a bus.',
  );
  for (const child of [migrateVerb(), statsVerb(), checkVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon storage check', 'ARQONBUS_STORAGE_BACKEND=postgres arqon storage migrate');
}

function migrateVerb(): Command {
  const verb = new Command('migrate').description(
    'Create the tables of the storage, or upgrade those of an older release. "arqon serve" does it by itself; ' +
      'this is for users that may create tables where the bus may not. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print only JSON');
  withExamples(withSettings(verb, { hidden: true }), 'arqon storage migrate --config prod.yaml');
  return verb.action(async (flags: Flags) => {
    const backend = await withStorage(flags, async (engine) => engine.backend);
    await printResult(flags.json === true, { backend, ready: true }, () =>
      lines([text`The ${backend} storage is ready for this release.`]),
    );
  });
}

function statsVerb(): Command {
  const verb = new Command('stats').description(
    'Print how many streams, messages and bytes the storage holds. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon storage stats',
    'arqon storage stats --json | jq .messages',
  );
  return verb.action(async (flags: Flags) => {
    const { backend, streams, messages, bytes } = await withStorage(flags, async (engine) => engine.stats());
    await printResult(flags.json === true, { backend, streams, messages, bytes }, () =>
      table(['BACKEND', 'STREAMS', 'MESSAGES', 'BYTES'], [[backend, `${streams}`, `${messages}`, `${bytes}`]]),
    );
  });
}

function checkVerb(): Command {
  const verb = new Command('check').description(
    'Open the storage and close it again: exit code 0 if a bus could use it. Recommended changes are ' +
      'printed. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print only JSON');
  withExamples(withSettings(verb, { hidden: true }), 'arqon storage check', 'arqon storage check --storage sqlite');
  return verb.action(async (flags: Flags) => {
    const { backend, warnings } = await withStorage(flags, async (engine) => ({
      backend: engine.backend,
      warnings: [...(engine.warnings ?? [])],
    }));
    await printResult(flags.json === true, { ok: true, backend, warnings }, () =>
      lines([text`The ${backend} storage can be used.`, ...warnings.map((warning) => text`${warning}`)]),
    );
  });
}

/** Opens the storage for `use`; rejects with one sentence if it cannot be used. */
async function withStorage<T>(flags: Flags, use: (engine: Engine) => Promise<T>): Promise<T> {
  const { config } = await requireSettings(flags);
  const { withEngine } = await import('../doctor/storage.ts');
  return withEngine(config.storage, use);
}
