import { Command, Option } from 'commander';
import { given, parseJson, seconds, textOrStdin, whole } from '../arguments.ts';
import { askAndPrint, withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { print, printJsonLine, printResult, remark } from '../terminal/output.ts';
import { paint, StyledText, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface StoreOptions extends BusOptions {
  readonly namespace?: string;
}

interface WriteOptions extends StoreOptions {
  readonly ttlSeconds?: number;
  readonly ifVersion?: number;
}

/** `arqon store`: the shared key-value store. */
export function storeVerb(): Command {
  const verb = new Command('store').description('Read, write and watch the key-value store that clients share.');
  for (const child of [getVerb(), setVerb(), deleteVerb(), listVerb(), watchVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon store set colour \'"blue"\'', 'arqon store get colour', 'arqon store watch');
}

function withPlace(verb: Command): Command {
  return withAnswerOptions(verb).option('--namespace <name>', 'a namespace other than "default"');
}

function getVerb(): Command {
  const verb = new Command('get')
    .description('Print the value of a key as JSON. Exit code 1 if it does not exist. --json adds its version.')
    .argument('<key>');
  withExamples(withPlace(verb), 'arqon store get colour', 'arqon store get colour --json | jq .version');
  return verb.action(async (key: string, options: StoreOptions) => {
    const entry = await withBus(options, ({ client }) =>
      client.store.get(key, given({ namespace: options.namespace })),
    );
    if (options.json === true || entry.found) {
      await printResult(options.json, entry, ({ value }) => StyledText.json(value));
    }
    if (!entry.found) throw new Error(`there is no key "${key}".`);
  });
}

function setVerb(): Command {
  const verb = new Command('set')
    .description('Set a key to a value, any JSON up to 64 KiB.')
    .argument('<key>')
    .argument('<value>', 'JSON, or "-" for standard input');
  withPlace(verb)
    .addOption(new Option('--ttl-seconds <n>', 'expires after n seconds').argParser(seconds))
    .addOption(ifVersion());
  withExamples(verb, 'arqon store set colour \'"blue"\'', 'arqon store set leader \'{"id":1}\' --if-version 0');
  return verb.action(async (key: string, json: string, options: WriteOptions) => {
    const value = parseJson(textOrStdin(json), 'the argument <value>');
    const { namespace, ttlSeconds, ifVersion } = options;
    const written = await withBus(options, ({ client }) =>
      client.store.set(key, value, given({ namespace, ttlSeconds, ifVersion })),
    );
    await printResult(options.json, written, ({ version }) => text`version ${version}`);
  });
}

function deleteVerb(): Command {
  const verb = new Command('delete').description('Delete a key. Exit code 1 if it did not exist.').argument('<key>');
  withExamples(withPlace(verb).addOption(ifVersion()), 'arqon store delete colour');
  return verb.action(async (key: string, options: WriteOptions) => {
    const { namespace, ifVersion } = options;
    const deleted = await withBus(options, ({ client }) => client.store.delete(key, given({ namespace, ifVersion })));
    await printResult(options.json, { deleted }, () => '');
    if (!deleted) throw new Error(`there is no key "${key}".`);
  });
}

function listVerb(): Command {
  const verb = new Command('list').description('List the keys, in order.');
  withPlace(verb)
    .option('--prefix <text>', 'only keys that begin with it')
    .addOption(new Option('--limit <n>', 'at most n keys').argParser(whole(1)))
    .option('--after <key>', 'only keys after this one');
  withExamples(verb, 'arqon store list', 'arqon store list --prefix job/ --json');
  return verb.action((options: StoreOptions & { prefix?: string; limit?: number; after?: string }) => {
    const { namespace, prefix, limit, after } = options;
    return askAndPrint(options, 'op.store.list', given({ namespace, prefix, limit, after }), ({ keys, next }) => {
      if (next !== undefined) remark(text`there are more keys; go on with --after ${StyledText.json(next)}.`);
      return table(
        ['KEY'],
        keys.map((key) => [key]),
      );
    });
  });
}

function watchVerb(): Command {
  const verb = new Command('watch').description('Print changes of keys as they happen, until Ctrl-C.');
  withPlace(verb)
    .option('--prefix <text>', 'only keys that begin with it')
    .addOption(new Option('--limit <n>', 'exit after n changes').argParser(whole(1)));
  withExamples(verb, 'arqon store watch --prefix job/', 'arqon store watch --json');
  return verb.action((options: StoreOptions & { prefix?: string; limit?: number }) => {
    const { namespace, prefix, limit = Number.POSITIVE_INFINITY } = options;
    return withBus(
      options,
      async ({ client, signal }) => {
        const watch = await client.store.watch(given({ namespace, prefix }));
        watch.on('reset', () => remark('the connection was lost for a while; changes may have been missed.'));
        signal.addEventListener('abort', () => void watch.close(), { once: true });
        let printed = 0;
        for await (const change of watch) {
          const { operation, key, version, value } = change;
          const shown = value === undefined ? '' : text`  ${StyledText.json(value)}`;
          const line = text`${paint('cyan', operation)}  ${key}  ${paint('dim', text`v${version}`)}${shown}`;
          await (options.json === true ? printJsonLine(change) : print(line));
          printed += 1;
          if (printed >= limit) break;
        }
      },
      { stays: true },
    );
  });
}

function ifVersion(): Option {
  return new Option('--if-version <n>', 'only if its version is this; 0: only if it does not exist').argParser(
    whole(0),
  );
}
