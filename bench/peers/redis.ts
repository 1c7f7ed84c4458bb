import { isInstalled } from './launch.ts';
import type { Peer } from './peer.ts';

/** Redis pub/sub over its own TCP protocol: no WebSocket, no parsing, no stamping. A floor, not a rival. */
export const redis: Peer = {
  name: 'redis',
  title: 'Redis over TCP (opaque bytes)',
  dialect: {
    transport: 'tcp',
    path: '',
    frames: 'binary',
    opening: [{ send: 'PING\r\n', expect: '+PONG' }],
    subscribe: [{ send: 'SUBSCRIBE load\r\n', expect: ':1\r\n' }],
    publish: (envelope) => `*3\r\n$7\r\nPUBLISH\r\n$4\r\nload\r\n$${envelope.length}\r\n${envelope}\r\n`,
    delivery: {
      kind: 'record',
      lead: '*',
      around: (envelope) => `*3\r\n$7\r\nmessage\r\n$4\r\nload\r\n$${envelope.length}\r\n${envelope}\r\n`,
    },
  },
  unavailable: () => (isInstalled('redis-server') ? undefined : 'redis-server is not installed'),
  launch: ({ port, directory }) => ({
    command: 'redis-server',
    args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no'],
  }),
};
