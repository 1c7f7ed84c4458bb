import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isInstalled } from './launch.ts';
import type { Peer } from './peer.ts';

/** NATS core over its WebSocket listener. It neither parses nor stamps what it carries. */
export const nats: Peer = {
  name: 'nats',
  title: 'NATS (opaque bytes)',
  dialect: {
    transport: 'websocket',
    path: '/',
    frames: 'binary',
    opening: [{ expect: 'INFO {' }, { send: 'CONNECT {"verbose":false}\r\nPING\r\n', expect: 'PONG' }],
    subscribe: [{ send: 'SUB load 1\r\nPING\r\n', expect: 'PONG' }],
    publish: (envelope) => `PUB load ${envelope.length}\r\n${envelope}\r\n`,
    delivery: { kind: 'record', lead: 'M', around: (envelope) => `MSG load 1 ${envelope.length}\r\n${envelope}\r\n` },
    answer: (text) => (text === 'PING' ? 'PONG\r\n' : undefined),
  },
  unavailable: () => (isInstalled('nats-server') ? undefined : 'nats-server is not installed'),
  launch: ({ port, directory }) => {
    const config = join(directory, 'nats.conf');
    // -1: any free port for the native listener, which nobody uses here.
    writeFileSync(config, `host: 127.0.0.1\nport: -1\nwebsocket { host: 127.0.0.1, port: ${port}, no_tls: true }\n`);
    return { command: 'nats-server', args: ['--config', config] };
  },
};
