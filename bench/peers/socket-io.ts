import { launchSource } from './launch.ts';
import type { Peer } from './peer.ts';

/** Socket.IO protocol 5 over Engine.IO 4: every packet is one text frame, keep-alives (`2` → `3`) included. */
export const socketIo: Peer = {
  name: 'socket.io',
  title: 'Socket.IO 4',
  dialect: {
    transport: 'websocket',
    path: '/socket.io/?EIO=4&transport=websocket',
    frames: 'text',
    opening: [{ expect: '0{' }, { send: '40', expect: '40{' }],
    subscribe: [{ send: '420["join"]', expect: '430[' }],
    publish: (envelope) => `42["publish",${envelope}]`,
    delivery: { kind: 'frame' },
    answer: (text) => (text === '2' ? '3' : undefined),
  },
  unavailable: () => undefined,
  launch: (context) => launchSource('socket-io-server.ts', context),
};
