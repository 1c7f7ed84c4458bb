import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { type Flags, loadSettings, requireSettings, withSettings } from '../settings.ts';
import { print, printDocument, printResult } from '../terminal/output.ts';
import { type Part, StyledText } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** `arqon config`: the server configuration as it would be loaded now. */
export function configVerb(): Command {
  const verb = new Command('config').description(
    'The configuration as "arqon serve" would read it now in this folder.',
  );
  for (const child of [showVerb(), checkVerb(), docsVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon config show', 'arqon config check --config arqonbus.config.yaml');
}

function showVerb(): Command {
  const verb = new Command('show').description(
    'Print every setting, its value and its source, but no secrets. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print only JSON');
  withExamples(withSettings(verb, { hidden: true }), 'arqon config show', 'arqon config show --json | jq .settings');
  return verb.action(async (flags: Flags) => {
    const { config, sources } = await requireSettings(flags);
    const { redact } = await import('../../config/redact.ts');
    const { SETTINGS } = await import('../../config/settings.ts');
    const shown = redact(config);
    const settings = SETTINGS.map(({ path, env }) => {
      const value = path.split('.').reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>>)[key], shown);
      return { setting: path, variable: env, value, source: sources[path] ?? { from: 'default', name: 'default' } };
    });
    await printResult(flags.json === true, { settings }, () =>
      table(
        ['SETTING', 'VALUE', 'SOURCE'],
        settings.map(({ setting, value, source }) => [setting, written(value), source.name]),
      ),
    );
  });
}

function checkVerb(): Command {
  const verb = new Command('check').description(
    'Check the configuration: exit code 0 if it is valid, otherwise 2 and all errors. Takes the flags of "arqon serve".',
  );
  verb.option('--json', 'print only JSON');
  withExamples(
    withSettings(verb, { hidden: true }),
    'arqon config check',
    'ARQONBUS_ENVIRONMENT=prod arqon config check --config prod.yaml',
  );
  return verb.action(async (flags: Flags) => {
    if (flags.json !== true) {
      const { sources } = await requireSettings(flags);
      const set = Object.values(sources).filter(({ from }) => from !== 'default').length;
      await print(`The configuration is valid; ${set} settings are set.`);
      return;
    }
    const loaded = await loadSettings(flags);
    await printDocument({ ok: loaded.ok, faults: loaded.ok ? [] : loaded.faults, warnings: loaded.warnings });
    if (!loaded.ok) process.exitCode = EXIT.usage;
  });
}

function docsVerb(): Command {
  const verb = new Command('docs').description('Print the reference of all settings, as Markdown.');
  withExamples(verb, 'arqon config docs', 'arqon config docs > configuration.md');
  return verb.action(async () => {
    const { configurationPage } = await import('../../config/docs.ts');
    await print(StyledText.layout(configurationPage().trimEnd()));
  });
}

function written(value: unknown): Part {
  return typeof value === 'string' ? value : StyledText.json(value);
}
