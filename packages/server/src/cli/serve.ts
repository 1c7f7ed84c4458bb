import { Command, Option } from 'commander';
import type { Config } from '../config/config.ts';
import { securityWarnings } from '../config/preflight.ts';
import { SETTINGS } from '../config/settings.ts';
import { readSources } from '../config/sources.ts';
import { createLog, type Logger } from '../log.ts';
import { type Server, startServer } from '../server.ts';
import { banner } from './banner.ts';
import { EXIT, UsageError } from './exit.ts';
import { CLIENT_VARIABLES } from './variables.ts';

/** `arqon serve`: runs the bus until it is told to stop. */
export function serveVerb(): Command {
  const verb = new Command('serve')
    .description('Run the bus. Settings come from flags, ARQONBUS_* variables, a file, and defaults, in this order.')
    .option('--config <file>', 'configuration file, YAML or JSON (arqonbus.config.yaml here, when there is one)');
  for (const { flag, description, env, defaultText, default: value } of SETTINGS) {
    if (flag === undefined) continue;
    const shown = defaultText ?? String(value);
    verb.addOption(new Option(`--${flag} <value>`, `${description} [${env}, ${shown === '' ? 'unset' : shown}]`));
  }
  return verb
    .addHelpText('after', '\nExamples:\n  arqon serve\n  arqon serve --port 9200 --storage sqlite\n')
    .action((flags: Record<string, string>) => serve(flags));
}

async function serve(flags: Readonly<Record<string, string>>): Promise<void> {
  const config = read(flags);
  const log = createLog({ level: config.log.level, pretty: process.stderr.isTTY === true });
  const { server, addresses } = await startServer(config, {
    log,
    onShutdown: () => stop(server, config, log),
    // A fault in the new configuration leaves the server as it runs.
    onRestart: () => restart(server, flags, log),
  });
  process.stdout.write(banner(config, addresses, securityWarnings(config), process.stdout.isTTY === true));
  obeySignals(server, config, flags, log);
}

function read(flags: Readonly<Record<string, string>>): Config {
  const { config: configPath, ...rest } = flags;
  const loaded = readSources({
    flags: rest,
    env: process.env,
    directory: process.cwd(),
    otherVariables: CLIENT_VARIABLES,
    ...(configPath === undefined ? {} : { configPath }),
  });
  for (const warning of loaded.warnings) process.stderr.write(`arqon: warning: ${warning}\n`);
  if (loaded.ok) return loaded.config;
  throw new UsageError(`the configuration has faults:\n${loaded.faults.map((fault) => `  - ${fault}`).join('\n')}`);
}

function obeySignals(server: Server, config: Config, flags: Readonly<Record<string, string>>, log: Logger): void {
  let told = false;
  const end = (): void => {
    // Whoever asks twice does not want to wait.
    if (told) process.exit(EXIT.failure);
    told = true;
    stop(server, config, log);
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  process.on('SIGHUP', () => reload(server, flags, log));
}

function stop(server: Server, config: Config, log: Logger): void {
  const overdue = setTimeout(() => {
    log.error('the shutdown took too long and was cut short');
    process.exit(EXIT.failure);
  }, config.server.shutdownSeconds * 1000);
  overdue.unref();
  server.stop().then(
    () => process.exit(EXIT.ok),
    (error: unknown) => {
      log.error({ err: error }, 'the shutdown failed');
      process.exit(EXIT.failure);
    },
  );
}

/** SIGHUP: the inspection policy is read again; whatever is wrong with it, the old one stays. */
function reload(server: Server, flags: Readonly<Record<string, string>>, log: Logger): void {
  try {
    server.reloadPolicy(read(flags).casil);
    log.info('the inspection policy was read again');
  } catch (error) {
    log.error(`nothing was reloaded: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function restart(server: Server, flags: Readonly<Record<string, string>>, log: Logger): void {
  try {
    const config = read(flags);
    server.reopen(config).then(
      () => log.info('the listeners run with the configuration read again'),
      (error: unknown) => log.error({ err: error }, 'the listeners could not be opened again'),
    );
  } catch (error) {
    log.error(`nothing was restarted: ${error instanceof Error ? error.message : String(error)}`);
  }
}
