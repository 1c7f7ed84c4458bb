import { readSources } from '../config/sources.ts';
import { createLog } from '../log.ts';
import { startServer } from '../server.ts';

const loaded = readSources({ env: process.env, directory: process.cwd() });
if (!loaded.ok) {
  for (const fault of loaded.faults) process.stderr.write(`${fault}\n`);
  process.exit(2);
}
const log = createLog({ level: loaded.config.log.level, pretty: process.stderr.isTTY === true });
const { server, addresses } = await startServer(loaded.config, { log });
process.stdout.write(`ArqonBus listens on ws://${addresses.bus.host}:${addresses.bus.port}\n`);
const stop = (): void => {
  server.stop().then(() => process.exit(0));
};
process.once('SIGINT', stop);
process.once('SIGTERM', stop);
