import { ENVELOPE_DIALECT } from './envelope-dialect.ts';
import { launchSource, packageVersion } from './launch.ts';
import type { Peer } from './peer.ts';

export const ws: Peer = {
  name: 'ws',
  title: 'naive `ws`',
  dialect: ENVELOPE_DIALECT,
  version: () => packageVersion('ws'),
  lacks: { sse: 'has no server-sent events', resume: 'keeps no history', channels: 'keeps no history' },
  unavailable: () => undefined,
  launch: (context) => launchSource('ws-server.ts', context),
};
