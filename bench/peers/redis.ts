import { isInstalled, printedVersion } from './launch.ts';
import type { Peer } from './peer.ts';

function command(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

/** Redis pub/sub over its own TCP protocol: no WebSocket, no parsing, no stamps. A baseline, not a competitor. */
export const redis: Peer = {
  name: 'redis',
  title: 'Redis',
  note: 'over TCP, opaque bytes',
  dialect: {
    transport: 'tcp',
    path: '',
    frames: 'binary',
    opening: [{ send: 'PING\r\n', expect: '+PONG' }],
    subscribe: (channel) => [{ send: `SUBSCRIBE ${channel}\r\n`, expect: ':1\r\n' }],
    publish: (envelope, channel) => command('PUBLISH', channel, envelope),
    delivery: {
      kind: 'record',
      lead: '*',
      around: (envelope, channel) => command('message', channel, envelope),
    },
  },
  version: () => printedVersion('redis-server', '--version'),
  lacks: { sse: 'speaks no HTTP', resume: 'keeps no history in channels', channels: 'keeps no history in channels' },
  unavailable: () => (isInstalled('redis-server') ? undefined : 'redis-server is not installed'),
  launch: ({ port, directory }) => ({
    command: 'redis-server',
    args: [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      directory,
      '--save',
      '',
      '--appendonly',
      'no',
      '--maxclients',
      '60000',
    ],
  }),
};
