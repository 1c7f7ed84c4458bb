import { launchSource, packageVersion } from './launch.ts';
import type { Peer } from './peer.ts';

/** Socket.IO protocol 5 over Engine.IO 4: every packet is one text frame, including keep-alives (`2` → `3`). */
export const socketIo: Peer = {
  name: 'socket.io',
  title: 'Socket.IO',
  dialect: {
    transport: 'websocket',
    path: '/socket.io/?EIO=4&transport=websocket',
    frames: 'text',
    opening: [{ expect: '0{' }, { send: '40', expect: '40{' }],
    subscribe: (channel) => [{ send: `420["join","${channel}"]`, expect: '430[' }],
    publish: (envelope) => `42["publish",${envelope}]`,
    delivery: { kind: 'frame' },
    answer: (text) => (text === '2' ? '3' : undefined),
  },
  version: () => packageVersion('socket.io'),
  lacks: {
    sse: 'has no server-sent events',
    resume: 'keeps no history as it comes',
    channels: 'keeps no history as it comes',
  },
  unavailable: () => undefined,
  launch: (context) => launchSource('socket-io-server.ts', context),
};
