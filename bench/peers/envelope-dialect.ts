import { ROOM } from '../envelope.ts';
import type { Dialect } from './peer.ts';

/** The dialect of servers that use ArqonBus envelopes: ArqonBus itself, and the naive server that imitates it. */
export const ENVELOPE_DIALECT: Dialect = {
  transport: 'websocket',
  path: '/',
  frames: 'text',
  opening: [{ expect: '"event":"welcome"' }],
  subscribe: (channel) => [
    {
      send: JSON.stringify({
        version: '1.0',
        id: 'arq_bench_join',
        type: 'command',
        command: 'join_channel',
        args: { room: ROOM, channel },
      }),
      expect: '"status":"success"',
    },
  ],
  publish: (envelope) => envelope,
  delivery: { kind: 'frame' },
};
