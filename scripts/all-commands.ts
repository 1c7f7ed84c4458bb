import { type AnyCommand, loadEngine } from '@arqonbus/bus';
import { loadConfig } from '../packages/server/src/config/load.ts';
import { createLog } from '../packages/server/src/log.ts';
import { Server } from '../packages/server/src/server.ts';

/** The commands of a server with the default configuration; it is created, not started. */
export async function allCommands(): Promise<readonly AnyCommand[]> {
  const loaded = loadConfig({});
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  const engine = await loadEngine({ ...loaded.config.storage, nodeId: 'docs' });
  const log = createLog({ level: 'silent' });
  return new Server(loaded.config, engine, 'docs', { log }).bus.commands.all;
}
