import { ENVELOPE_DIALECT } from './envelope-dialect.ts';
import { launchSource } from './launch.ts';
import type { Peer } from './peer.ts';

export const ws: Peer = {
  name: 'ws',
  title: 'naive `ws`',
  dialect: ENVELOPE_DIALECT,
  unavailable: () => undefined,
  launch: (context) => launchSource('ws-server.ts', context),
};
