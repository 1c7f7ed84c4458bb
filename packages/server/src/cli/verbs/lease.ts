import { constants } from 'node:os';
import type { ArqonBusClient, Lease } from '@arqonbus/client';
import { Command, Option } from 'commander';
import { collectList, given, seconds, whole } from '../arguments.ts';
import { requireCommand, runCommand } from '../child.ts';
import { UsageError } from '../exit.ts';
import { aborted, askAndPrint, withBus } from '../remote/bus.ts';
import { type BusOptions, withAnswerOptions } from '../remote/options.ts';
import { printResult, remark } from '../terminal/output.ts';
import { StyledText, text } from '../terminal/styled-text.ts';
import { table } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

interface AcquireOptions extends BusOptions {
  readonly ttlSeconds?: number;
  readonly waitSeconds?: number;
  readonly keep?: boolean;
  readonly namespace?: string;
}

/** Maximum wait accepted by the bus, seconds. */
const MAX_WAIT_SECONDS = 55;
/** Base of the exit code for a command ended by a signal, as in shells. */
const ENDED_BY_SIGNAL = 128;

/** `arqon lease`: exclusive leases on keys. */
export function leaseVerb(): Command {
  const verb = new Command('lease').description('Hold exclusive keys, and run a command while holding them.');
  for (const child of [acquireVerb(), releaseVerb(), listVerb()]) verb.addCommand(child);
  return withExamples(verb, 'arqon lease acquire printer/3 -- lpr report.pdf', 'arqon lease list');
}

function acquireVerb(): Command {
  const verb = new Command('acquire')
    .description(
      'Acquire keys, all of them or none. Exit code 1 if another client holds one. With a command: run it under the ' +
        'lease, with ARQON_LEASE_ID, ARQON_LEASE_TOKEN and ARQON_LEASE_KEYS in its environment, and exit with its exit ' +
        'code; it is stopped if the lease is lost. Without one: hold the keys until Ctrl-C, or keep them leased with --keep.',
    )
    .argument('<keys>', 'up to 32 keys, separated by commas')
    .argument('[command...]', 'after "--": a command and its arguments');
  withAnswerOptions(verb)
    .addOption(
      new Option('--ttl-seconds <n>', 'time for which the keys stay leased without this program').argParser(seconds),
    )
    .addOption(
      new Option('--wait-seconds <n>', `how long to wait for them, at most ${MAX_WAIT_SECONDS}`).argParser(seconds),
    )
    .option('--keep', 'keep them leased until the time is over or they are released')
    .option('--namespace <name>', 'a namespace other than "lease"');
  withExamples(
    verb,
    'arqon lease acquire deploy --wait-seconds 30 -- ./deploy.sh',
    'arqon lease acquire printer/3,tray/a4 --keep --ttl-seconds 600',
  );
  return verb.action(acquire);
}

async function acquire(written: string, command: readonly string[], options: AcquireOptions): Promise<void> {
  const keys = collectList(written, undefined);
  if (keys.length === 0) throw new UsageError('the argument <keys> names no key.');
  const { waitSeconds = 0, keep } = options;
  if (waitSeconds > MAX_WAIT_SECONDS) throw new UsageError(`--wait-seconds is at most ${MAX_WAIT_SECONDS}.`);
  if (command.length > 0) {
    if (keep === true) throw new UsageError('--keep goes without a command: the lease of a command ends with it.');
    requireCommand(command);
    await withBus(options, ({ client }) => runUnder(client, keys, command, options), { reconnect: {} });
    return;
  }
  if (keep === true) {
    await askAndPrint(options, 'op.lease.acquire', { keys: [...keys], ...wireOptions(options), keep }, (lease) =>
      table(
        ['LEASE', 'TOKEN', 'EXPIRES', 'KEYS'],
        [[lease.lease_id, lease.token, lease.expires_at, lease.keys.join(' ')]],
      ),
    );
    return;
  }
  await withBus(options, ({ client, signal }) => hold(client, signal, keys, options), { stays: true });
}

/** Holds the keys while a command runs. */
async function runUnder(
  client: ArqonBusClient,
  keys: readonly string[],
  command: readonly string[],
  options: AcquireOptions,
): Promise<void> {
  await client.leases.acquire(keys, leaseOptions(options), async (lease) => {
    const told = new AbortController();
    const forward = (): void => told.abort();
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, forward);
    // Ctrl-C reaches the command directly; this program only releases the lease.
    process.on('SIGINT', () => {});
    const env = variablesOf(lease);
    const { code, signal } = await runCommand(command, { env, signal: AbortSignal.any([lease.signal, told.signal]) });
    if (!lease.held) throw new Error('the lease was lost while the command ran; somebody else may have had the keys.');
    process.exitCode = code ?? ENDED_BY_SIGNAL + (signal === null ? 0 : constants.signals[signal]);
  });
}

/** Holds the keys until the program is stopped. */
async function hold(
  client: ArqonBusClient,
  signal: AbortSignal,
  keys: readonly string[],
  options: AcquireOptions,
): Promise<void> {
  await client.leases.acquire(keys, { ...leaseOptions(options), signal }, async (lease) => {
    const told = { lease_id: lease.id, token: lease.token, expires_at: lease.expiresAt, keys: lease.keys };
    await printResult(options.json, told, () =>
      table(['LEASE', 'TOKEN', 'EXPIRES', 'KEYS'], [[lease.id, lease.token, lease.expiresAt, lease.keys.join(' ')]]),
    );
    remark('it is held until this program ends; press Ctrl-C to end it.');
    await Promise.race([aborted(signal), aborted(lease.signal)]);
    if (!lease.held) throw new Error('the lease was lost; somebody else may have the keys.');
  });
}

function releaseVerb(): Command {
  const verb = new Command('release')
    .description('Release the keys of one of your leases.')
    .argument('<lease>', 'its id');
  withExamples(withAnswerOptions(verb), 'arqon lease release LEASE_ID');
  return verb.action((lease_id: string, options: BusOptions) =>
    askAndPrint(options, 'op.lease.release', { lease_id }, () => text`${lease_id} released`),
  );
}

function listVerb(): Command {
  const verb = withAnswerOptions(new Command('list').description('List the leases that you may see.'))
    .addOption(new Option('--limit <n>', 'at most n').argParser(whole(1)))
    .option('--after <place>', 'continue where another list ended');
  withExamples(verb, 'arqon lease list', 'arqon lease list --json');
  return verb.action((options: BusOptions & { limit?: number; after?: string }) =>
    askAndPrint(options, 'op.lease.list', given({ limit: options.limit, after: options.after }), ({ leases, next }) => {
      if (next !== undefined && next !== null) {
        remark(text`there are more; go on with --after ${StyledText.json(next)}.`);
      }
      return table(
        ['LEASE', 'NAMESPACE', 'KEYS', 'TOKEN', 'SUBJECT', 'EXPIRES', 'OWN'],
        leases.map((lease) => [
          lease.lease_id,
          lease.namespace,
          lease.keys.join(' '),
          lease.token,
          lease.subject,
          lease.expires_at,
          lease.is_own ? 'yes' : 'no',
        ]),
      );
    }),
  );
}

function variablesOf({ id, token, keys }: Lease): Record<string, string> {
  return { ARQON_LEASE_ID: id, ARQON_LEASE_TOKEN: String(token), ARQON_LEASE_KEYS: keys.join(',') };
}

function leaseOptions({ ttlSeconds, waitSeconds, namespace }: AcquireOptions): {
  ttlSeconds?: number;
  waitMs?: number;
  namespace?: string;
} {
  return given({ ttlSeconds, waitMs: waitSeconds === undefined ? undefined : waitSeconds * 1000, namespace });
}

function wireOptions({ ttlSeconds = 30, waitSeconds, namespace }: AcquireOptions): {
  ttl_seconds: number;
  wait_ms?: number;
  namespace?: string;
} {
  const wait_ms = waitSeconds === undefined ? undefined : Math.round(waitSeconds * 1000);
  return { ttl_seconds: ttlSeconds, ...given({ wait_ms, namespace }) };
}
