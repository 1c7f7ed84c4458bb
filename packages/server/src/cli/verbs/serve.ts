import { BusError } from '@arqonbus/protocol';
import { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import type { Loaded } from '../../config/load.ts';
import type { MayMove } from '../../edge.ts';
import type { OnRestart, Reloaded } from '../../http/admin-routes.ts';
import type { Logger } from '../../log.ts';
import type { Server } from '../../server.ts';
import type { Supervisor } from '../../workers/supervisor.ts';
import { EXIT, messageOf, UsageError } from '../exit.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import type { Started } from '../terminal/banner.ts';
import { print, printJsonLine, remarkInLog } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon serve`: runs the bus until it is stopped. */
export function serveVerb(): Command {
  const verb = new Command('serve').description(
    'Run the bus. Settings come from flags, then ARQONBUS_* variables, then a file, then the defaults.',
  );
  withExamples(
    withSettings(verb, { hidden: false }),
    'arqon serve',
    'arqon serve --port 9200 --storage sqlite',
    'arqon serve --workers 0 --storage sqlite',
    'arqon serve --config arqonbus.config.yaml',
  );
  return verb.action(serve);
}

type Settings = Pick<Extract<Loaded, { ok: true }>, 'config' | 'sources'>;

async function serve(flags: Flags): Promise<void> {
  remarkInLog();
  const { config, sources } = await requireSettings(flags);
  const { createLog } = await import('../../log.ts');
  const { startServer } = await import('../../server.ts');
  const { terminalLog } = await import('../terminal/log-lines.ts');
  const log = createLog({
    level: config.log.level,
    ...(process.stderr.isTTY ? { destination: terminalLog() } : {}),
  });
  const { runWorker, workerTask } = await import('../../workers/worker.ts');
  const task = workerTask(process.env);
  if (task !== null) {
    await runWorker(config, task, log, {
      reload: (server) => void readAgain(server, flags, log).catch(() => {}),
      read: () => read(flags, log),
    });
    return;
  }
  const { workerCount } = await import('../../workers/supervisor.ts');
  if (workerCount(config) > 1) {
    await supervise({ config, sources }, flags, log);
    return;
  }
  const started = startServer(config, {
    log,
    mayMove: mayMove({ config, sources }),
    onShutdown: () => void started.then(({ server }) => stop(server, log)),
    onRestart: async () => readAgain((await started).server, flags, log),
  });
  const { server, addresses } = await started.catch((error: unknown) => {
    throw new Error(`${messageOf(error)}${portFlag(messageOf(error), config)}`);
  });
  const { startedWith } = await import('../terminal/banner.ts');
  // A program that waits for the banner may send a signal right after it.
  obeySignals(server, flags, log);
  await announce(startedWith(config, addresses), log);
}

/** Runs several processes that share the ports, until this one is stopped. */
async function supervise({ config, sources }: Settings, flags: Flags, log: Logger): Promise<void> {
  const { Supervisor: Workers, workerCount } = await import('../../workers/supervisor.ts');
  const { startedWith } = await import('../terminal/banner.ts');
  const supervisor = new Workers(config, log, {
    mayMove: mayMove({ config, sources }),
    onShutdown: () => end(EXIT.ok),
    onRestart: () => void reloadWorkers(supervisor, flags, log, { replaceAll: true }),
    onGivenUp: (sentence) => {
      log.fatal(sentence);
      end(EXIT.failure);
    },
  });
  let told = false;
  const end = (code: number): void => {
    if (told) return;
    told = true;
    supervisor.stop().then(
      () => process.exit(code),
      (error: unknown) => {
        log.error({ err: error }, 'the shutdown failed');
        process.exit(EXIT.failure);
      },
    );
  };
  const obey = (): void => {
    // A second signal exits immediately.
    if (told) process.exit(EXIT.failure);
    end(EXIT.ok);
  };
  process.on('SIGINT', obey);
  process.on('SIGTERM', obey);
  process.on('SIGHUP', () => void reloadWorkers(supervisor, flags, log, { replaceAll: false }));
  const addresses = await supervisor.start().catch((error: unknown) => {
    // It was stopped before it had started.
    if (told) return null;
    throw new Error(`${messageOf(error)}${portFlag(messageOf(error), config)}`);
  });
  if (addresses !== null && !told) await announce(startedWith(config, addresses, workerCount(config)), log);
}

/** Announces the started server: as a banner on a terminal, otherwise as a JSON line. */
async function announce(started: Started, log: Logger): Promise<void> {
  const { banner, bannerRecord } = await import('../terminal/banner.ts');
  if (process.stdout.isTTY) {
    await print(banner(started));
    return;
  }
  for (const warning of started.warnings) log.warn(warning);
  await printJsonLine(bannerRecord(started));
}

/** Listeners that may use another port because theirs was not set explicitly; never in production. */
function mayMove({ config, sources }: Settings): MayMove {
  const isFree = (path: string): boolean => config.environment !== 'prod' && sources[path]?.from === 'default';
  return { telemetry: isFree('telemetry.port'), http: isFree('http.port') };
}

/**
 * All workers reload the configuration: immediately if that needs no interruption, otherwise they are replaced one by
 * one. Shared settings are not reloaded, since all workers must have the same ones.
 */
async function reloadWorkers(
  supervisor: Supervisor,
  flags: Flags,
  log: Logger,
  how: { readonly replaceAll: boolean },
): Promise<void> {
  const config = await read(flags, log).catch(() => null);
  if (config === null) return;
  log.level = config.log.level;
  tellReloaded(supervisor.apply(config, how), log);
}

/** Names the flag and variable of the port in a start error; empty if the error is not about a port. */
function portFlag(message: string, { server, telemetry, http }: Config): string {
  const flags = [
    [server.port, '--port', 'ARQONBUS_SERVER_PORT'],
    [telemetry.port, '--telemetry-port', 'ARQONBUS_TELEMETRY_PORT'],
    [http.port, '--http-port', 'ARQONBUS_HTTP_PORT'],
  ] as const;
  const found = flags.find(([port]) => message.startsWith(`Port ${port} `));
  return found === undefined || message.includes(found[1]) ? '' : ` It is set by ${found[1]} or ${found[2]}.`;
}

function obeySignals(server: Server, flags: Flags, log: Logger): void {
  let told = false;
  const end = (): void => {
    // A second signal exits immediately.
    if (told) process.exit(EXIT.failure);
    told = true;
    stop(server, log);
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  process.on('SIGHUP', () => void reload(server, flags, log));
}

function stop(server: Server, log: Logger): void {
  const { drainSeconds, shutdownSeconds } = server.config.server;
  const overdue = setTimeout(
    () => {
      log.error('the shutdown took too long and was cut short');
      process.exit(EXIT.failure);
    },
    (drainSeconds + shutdownSeconds) * 1000,
  );
  overdue.unref();
  const stopped = server.retire(drainSeconds * 1000).then(() => server.stop());
  stopped.then(
    () => process.exit(EXIT.ok),
    (error: unknown) => {
      log.error({ err: error }, 'the shutdown failed');
      process.exit(EXIT.failure);
    },
  );
}

/** Reloads the configuration and applies what can change; on any error nothing changes. */
async function readAgain(server: Server, flags: Flags, log: Logger): ReturnType<OnRestart> {
  const config = await read(flags, log);
  const { reloaded, goOn } = await server.apply(config).catch((error) => refuse(error, log));
  tellReloaded(reloaded, log);
  const reopen = async (): Promise<void> => {
    try {
      await goOn();
      if (reloaded.reopening.length > 0) log.info('the listeners run with the configuration read again');
    } catch (error) {
      log.error(`the listeners stay as they were: ${messageOf(error)}`);
    }
  };
  return { reloaded, goOn: () => void reopen() };
}

/** Reads the current configuration. Rejects with its errors, for the response over HTTP. */
async function read(flags: Flags, log: Logger): Promise<Config> {
  const { config } = await requireSettings(flags).catch((error) => refuse(error, log));
  return config;
}

function refuse(error: unknown, log: Logger): never {
  const faults = error instanceof UsageError ? error.details : [messageOf(error)];
  log.error({ faults }, 'the configuration has faults; nothing was changed');
  const sentence = 'The configuration has faults; nothing was changed.';
  throw new BusError('VALIDATION_ERROR', sentence, { faults: [...faults] });
}

/** Handles SIGHUP. Errors are in the log. */
async function reload(server: Server, flags: Flags, log: Logger): Promise<void> {
  const read = await readAgain(server, flags, log).catch(() => null);
  read?.goOn();
}

function tellReloaded({ changed, reopening, needs_new_process }: Reloaded, log: Logger): void {
  log.info({ changed, reopening, needs_new_process }, 'the configuration was read again');
  if (needs_new_process.length > 0) {
    log.warn(`these settings changed and need a new process: ${needs_new_process.join(', ')}`);
  }
}
