import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../../scripts/go-tools.ts';
import { ONE_THREAD, toolVersion } from './launch.ts';
import type { Peer } from './peer.ts';

/** NATS core over its WebSocket listener. It neither parses nor stamps messages. */
export const nats: Peer = {
  name: 'nats',
  title: 'NATS',
  note: 'opaque bytes',
  dialect: {
    transport: 'websocket',
    path: '/',
    frames: 'binary',
    opening: [{ expect: 'INFO {' }, { send: 'CONNECT {"verbose":false}\r\nPING\r\n', expect: 'PONG' }],
    subscribe: (channel) => [{ send: `SUB ${channel} 1\r\nPING\r\n`, expect: 'PONG' }],
    publish: (envelope, channel) => `PUB ${channel} ${envelope.length}\r\n${envelope}\r\n`,
    delivery: {
      kind: 'record',
      lead: 'M',
      around: (envelope, channel) => `MSG ${channel} 1 ${envelope.length}\r\n${envelope}\r\n`,
    },
    answer: (text) => (text === 'PING' ? 'PONG\r\n' : undefined),
    refusal: '-ERR',
  },
  version: () => toolVersion('nats-server', '--version'),
  lacks: { sse: 'has no server-sent events', resume: 'keeps no history', channels: 'keeps no history' },
  unavailable: () =>
    findTool('nats-server') === undefined ? 'there is no nats-server: `npm run tools -- nats-server`' : undefined,
  launch: ({ port, directory }) => {
    const config = join(directory, 'nats.conf');
    // -1: any free port for the native listener, which is unused.
    writeFileSync(
      config,
      `host: 127.0.0.1\nport: -1\nmax_connections: 100000\nwebsocket { host: 127.0.0.1, port: ${port}, no_tls: true }\n`,
    );
    return { command: findTool('nats-server')!, args: ['--config', config], env: ONE_THREAD };
  },
};
