import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CHANNEL, ROOM } from '../envelope.ts';
import { ENVELOPE_DIALECT } from './envelope-dialect.ts';
import type { Launch, LaunchContext, Peer } from './peer.ts';

const PROGRAM = fileURLToPath(new URL('../../packages/server/bin/arqon.js', import.meta.url));

/** The ArqonBus settings for the comparison: the defaults, but without a log line per message. */
const SETTINGS: Readonly<Record<string, string>> = {
  ARQONBUS_SERVER_HOST: '127.0.0.1',
  ARQONBUS_LOG_LEVEL: 'warn',
  ARQONBUS_MAX_CONNECTIONS: '50000',
  ARQONBUS_MAX_CHANNELS: '1000000',
  ARQONBUS_MAX_CHANNELS_PER_SUBJECT: '1000000',
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
  resume: {
    position: (answer) => {
      const { sequence, epoch } = /"sequence":(?<sequence>\d+),"epoch":"(?<epoch>[^"]+)"/.exec(answer)?.groups ?? {};
      if (sequence === undefined) throw new Error(`there is no position in ${answer}`);
      return JSON.stringify({ sequence: Number(sequence), epoch });
    },
    subscribe: (channel, position) => {
      const args = { room: ROOM, channel, since: JSON.parse(position) };
      return JSON.stringify({ version: '1.0', id: 'arq_bench_resume', type: 'command', command: 'join_channel', args });
    },
  },
  launch: (context) => launch(context, { ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: String(context.httpPort) }),
};

/** The same server, with subscribers over server-sent events. */
export const arqonbusSse: Peer = {
  ...arqonbus,
  name: 'arqonbus-sse',
  note: 'server-sent events',
  subscriber: {
    port: 'http',
    dialect: {
      ...ENVELOPE_DIALECT,
      transport: 'sse',
      path: `/v1/stream?join=${ROOM}:${CHANNEL}`,
      opening: [{ expect: '"command":"join_channel"' }],
      subscribe: () => [],
      delivery: { kind: 'mark' },
    },
  },
  only: ['sse'],
};

/** Shows the cost of the other two listeners. */
export const arqonbusBare: Peer = {
  name: 'arqonbus-bare',
  title: 'ArqonBus',
  note: 'without telemetry and HTTP',
  dialect: ENVELOPE_DIALECT,
  unavailable,
  lacks: { sse: 'listens for no HTTP', resume: 'is the same there', channels: 'is the same there' },
  launch: (context) => launch(context, { ARQONBUS_TELEMETRY_PORT: 'off', ARQONBUS_HTTP_PORT: 'off' }),
};
