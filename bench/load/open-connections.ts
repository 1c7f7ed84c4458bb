import type { Exchange } from '../peers/peer.ts';
import { Connection, type ConnectionOptions } from './connection.ts';

/** Concurrent handshakes: enough to keep a server busy, few enough for its listen backlog. */
const AT_ONCE = 128;

/**
 * Opens `count` connections and performs the exchanges given for each number. Returns them in the order of their
 * numbers. Rejects with the first refusal.
 */
export async function openConnections(
  count: number,
  options: ConnectionOptions,
  exchanges: (number: number) => readonly Exchange[] = () => [],
): Promise<Connection[]> {
  const connections: Connection[] = [];
  let begun = 0;
  const openNext = async (): Promise<void> => {
    while (begun < count) {
      const number = begun++;
      const connection = await Connection.open(options);
      await connection.converse(exchanges(number));
      connections[number] = connection;
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, openNext));
  return connections;
}
