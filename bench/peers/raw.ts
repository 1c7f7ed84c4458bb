import { ENVELOPE_DIALECT } from './envelope-dialect.ts';
import { launchSource } from './launch.ts';
import type { Peer } from './peer.ts';

/** Request target on which the raw server answers `join` with an endless stream of prebuilt frames. */
export const BLAST_PATH = '/blast';

/** The limit of Node itself: no parsing, no state, one shared frame per message and one write per socket per turn. */
export const raw: Peer = {
  name: 'raw',
  title: 'raw relay',
  note: 'opaque bytes',
  dialect: { ...ENVELOPE_DIALECT, opening: [], subscribe: () => [{ send: 'join', expect: 'joined' }] },
  lacks: {
    sse: 'speaks WebSocket only',
    chat: 'has one channel',
    churn: 'has one channel',
    resume: 'keeps no history',
    channels: 'has one channel',
  },
  unavailable: () => undefined,
  launch: (context) => launchSource('raw-server.ts', context),
};
