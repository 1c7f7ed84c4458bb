import { type AnyCommand, loadEngine } from '@arqonbus/bus';
import { CasilLayer } from '@arqonbus/casil';
import { loadConfig } from '../packages/server/src/config/load.ts';
import { createLog } from '../packages/server/src/log.ts';
import { Server } from '../packages/server/src/server.ts';

/** The commands of a server that is configured with nothing; it is made, not started. */
export async function allCommands(): Promise<readonly AnyCommand[]> {
  const loaded = loadConfig({});
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  const opened = CasilLayer.open(loaded.config.casil);
  if (!opened.ok) throw new Error('the default policy has faults');
  const engine = await loadEngine({ ...loaded.config.storage, nodeId: 'docs' });
  const log = createLog({ level: 'silent' });
  return new Server(loaded.config, engine, opened.layer, 'docs', { log }).bus.commands.all;
}
