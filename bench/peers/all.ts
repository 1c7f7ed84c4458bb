import { arqonbus, arqonbusBare, arqonbusSse } from './arqonbus.ts';
import { centrifugo, centrifugoHistory, centrifugoSse } from './centrifugo.ts';
import { nats } from './nats.ts';
import type { Peer } from './peer.ts';
import { raw } from './raw.ts';
import { redis } from './redis.ts';
import { socketIo } from './socket-io.ts';
import { ws } from './ws.ts';

/** All servers that can be compared, in table order. */
export const PEERS: readonly Peer[] = [
  ...[arqonbus, arqonbusBare, arqonbusSse, centrifugo, centrifugoHistory, centrifugoSse],
  ...[nats, socketIo, ws, redis, raw],
];

/** Throws a sentence that lists the known peers if there is none with this name. */
export function peerNamed(name: string): Peer {
  const peer = PEERS.find((candidate) => candidate.name === name);
  if (peer === undefined) throw new Error(`no peer "${name}"; known: ${PEERS.map((p) => p.name).join(', ')}`);
  return peer;
}
