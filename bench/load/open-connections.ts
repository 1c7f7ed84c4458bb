import type { Exchange } from '../peers/peer.ts';
import { Connection, type ConnectionOptions } from './connection.ts';

/** Handshakes under way at once: enough to keep a server busy, few enough for its listen backlog. */
const AT_ONCE = 128;

/** Opens `count` connections and has each go through `exchanges`. Rejects with the first refusal. */
export async function openConnections(
  count: number,
  options: ConnectionOptions,
  exchanges: readonly Exchange[],
): Promise<Connection[]> {
  const connections: Connection[] = [];
  let begun = 0;
  const openNext = async (): Promise<void> => {
    while (begun < count) {
      begun++;
      const connection = await Connection.open(options);
      await connection.converse(exchanges);
      connections.push(connection);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, openNext));
  return connections;
}
