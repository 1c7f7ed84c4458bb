import { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import type { Logger } from '../../log.ts';
import type { Server } from '../../server.ts';
import type { Supervisor } from '../../workers/supervisor.ts';
import { EXIT, messageOf } from '../exit.ts';
import { type Flags, requireSettings, withSettings } from '../settings.ts';
import { print } from '../terminal/output.ts';
import { withExamples } from '../verb.ts';

/** `arqon serve`: runs the bus until it is told to stop. */
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

async function serve(flags: Flags): Promise<void> {
  const { config } = await requireSettings(flags);
  const { createLog } = await import('../../log.ts');
  const { startServer } = await import('../../server.ts');
  const { securityWarnings } = await import('../../config/preflight.ts');
  const { banner } = await import('../terminal/banner.ts');
  const { terminalLog } = await import('../terminal/log-lines.ts');
  const log = createLog({
    level: config.log.level,
    ...(process.stderr.isTTY ? { destination: terminalLog() } : {}),
  });
  const { runWorker, workerTask } = await import('../../workers/worker.ts');
  const task = workerTask(process.env);
  if (task !== null) {
    await runWorker(config, task, log, { reload: (server) => void reload(server, flags, log) });
    return;
  }
  const { workerCount } = await import('../../workers/supervisor.ts');
  if (workerCount(config) > 1) {
    await supervise(config, flags, log);
    return;
  }
  const started = startServer(config, {
    log,
    onShutdown: () => void started.then(({ server }) => stop(server, config, log)),
    // A fault in the new configuration leaves the server as it runs.
    onRestart: () => void started.then(({ server }) => restart(server, flags, log)),
  });
  const { server, addresses } = await started.catch((error: unknown) => {
    throw new Error(`${messageOf(error)}${portFlag(messageOf(error), config)}`);
  });
  // Whoever waits for the banner may send a signal as soon as it is there.
  obeySignals(server, config, flags, log);
  await print(banner(config, addresses, securityWarnings(config)));
}

/** Several processes that share the ports, until this one is told to stop. */
async function supervise(config: Config, flags: Flags, log: Logger): Promise<void> {
  const { Supervisor: Workers, workerCount } = await import('../../workers/supervisor.ts');
  const { securityWarnings } = await import('../../config/preflight.ts');
  const { banner } = await import('../terminal/banner.ts');
  const supervisor = new Workers(config, log, {
    onShutdown: () => end(EXIT.ok),
    onRestart: () => void replaceWorkers(supervisor, config, flags, log),
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
    // Whoever asks twice does not want to wait.
    if (told) process.exit(EXIT.failure);
    end(EXIT.ok);
  };
  process.on('SIGINT', obey);
  process.on('SIGTERM', obey);
  process.on('SIGHUP', () => supervisor.reload());
  const addresses = await supervisor.start().catch((error: unknown) => {
    // It was told to stop before it had started.
    if (told) return null;
    throw new Error(`${messageOf(error)}${portFlag(messageOf(error), config)}`);
  });
  if (addresses !== null && !told)
    await print(banner(config, addresses, securityWarnings(config), workerCount(config)));
}

/** What all workers have in common is not read again: they would not be one server any more. */
async function replaceWorkers(supervisor: Supervisor, config: Config, flags: Flags, log: Logger): Promise<void> {
  try {
    const { config: next } = await requireSettings(flags);
    const fixed = ({ storage, server, telemetry, http }: Config): string =>
      JSON.stringify([storage, server.workers, listeningAt(server), listeningAt(telemetry), listeningAt(http)]);
    if (fixed(next) === fixed(config)) await supervisor.restart();
    else log.error('nothing was restarted: workers, storage and ports change only when the server is started anew');
  } catch (error) {
    log.error(`nothing was restarted: ${messageOf(error)}`);
  }
}

function listeningAt({ host, port }: { host: string; port: number | 'off' }): readonly unknown[] {
  return [host, port];
}

/** Which flag and variable set the port that a start complains of; empty when it complains of something else. */
function portFlag(message: string, { server, telemetry, http }: Config): string {
  const flags = [
    [server.port, '--port', 'ARQONBUS_SERVER_PORT'],
    [telemetry.port, '--telemetry-port', 'ARQONBUS_TELEMETRY_PORT'],
    [http.port, '--http-port', 'ARQONBUS_HTTP_PORT'],
  ] as const;
  const found = flags.find(([port]) => message.startsWith(`Port ${port} `));
  return found === undefined || message.includes(found[1]) ? '' : ` It is set by ${found[1]} or ${found[2]}.`;
}

function obeySignals(server: Server, config: Config, flags: Flags, log: Logger): void {
  let told = false;
  const end = (): void => {
    // Whoever asks twice does not want to wait.
    if (told) process.exit(EXIT.failure);
    told = true;
    stop(server, config, log);
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  process.on('SIGHUP', () => void reload(server, flags, log));
}

function stop(server: Server, config: Config, log: Logger): void {
  const { drainSeconds, shutdownSeconds } = config.server;
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

/** SIGHUP: the inspection policy is read again; whatever is wrong with it, the old one stays. */
async function reload(server: Server, flags: Flags, log: Logger): Promise<void> {
  try {
    await server.reloadPolicy((await requireSettings(flags)).config.casil);
    log.info('the inspection policy was read again');
  } catch (error) {
    log.error(`nothing was reloaded: ${messageOf(error)}`);
  }
}

async function restart(server: Server, flags: Flags, log: Logger): Promise<void> {
  let config: Config;
  try {
    ({ config } = await requireSettings(flags));
  } catch (error) {
    log.error(`nothing was restarted: ${messageOf(error)}`);
    return;
  }
  try {
    await server.reopen(config);
    log.info('the listeners run with the configuration read again');
  } catch (error) {
    log.error({ err: error }, 'the listeners could not be opened again');
  }
}
