import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ENVELOPE_DIALECT } from './envelope-dialect.ts';
import type { Launch, LaunchContext, Peer } from './peer.ts';

const PROGRAM = fileURLToPath(new URL('../../packages/server/bin/arqon.js', import.meta.url));

/** How ArqonBus is set for the comparison: everything on as it comes, but no line logged per message. */
const SETTINGS: Readonly<Record<string, string>> = {
  ARQONBUS_SERVER_HOST: '127.0.0.1',
  ARQONBUS_LOG_LEVEL: 'warn',
  ARQONBUS_MAX_CONNECTIONS: '50000',
};

function launch(context: LaunchContext, settings: Readonly<Record<string, string>>): Launch {
  return {
    command: process.execPath,
    args: [...context.nodeFlags, PROGRAM, 'serve'],
    env: { ...SETTINGS, ARQONBUS_SERVER_PORT: String(context.port), ...settings },
  };
}

function unavailable(): string | undefined {
  return existsSync(PROGRAM) ? undefined : 'the ArqonBus server is not built: run `npm run build`';
}

export const arqonbus: Peer = {
  name: 'arqonbus',
  title: '**ArqonBus**',
  dialect: ENVELOPE_DIALECT,
  unavailable,
  launch: (context) => launch(context, { ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: '0' }),
};

export const arqonbusBare: Peer = {
  name: 'arqonbus-bare',
  title: 'ArqonBus without telemetry and HTTP',
  dialect: ENVELOPE_DIALECT,
  unavailable,
  launch: (context) => launch(context, { ARQONBUS_TELEMETRY_PORT: 'off', ARQONBUS_HTTP_PORT: 'off' }),
};
