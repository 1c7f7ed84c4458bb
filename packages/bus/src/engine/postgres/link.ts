import { ServerLink, type ServerLinkEvents } from '../server-link.ts';
import type { PostgresAddress } from './address.ts';
import { judge, sentence } from './faults.ts';
import { openSession, type Session } from './session.ts';

export type Link = ServerLink<Session>;

/**
 * @param name shown in the server's list of connections
 * @param graceMs how long requests wait for a lost server before they fail, in milliseconds
 */
export function createLink(
  address: PostgresAddress,
  name: string,
  graceMs: number,
  events: ServerLinkEvents<Session>,
): Link {
  const { shown } = address;
  const server = {
    shown,
    connect: (lost: (reason: string) => void): Promise<Session> => openSession(address, name, { lost }),
    judge,
    explain: (error: unknown): string => sentence(error, shown),
  };
  return new ServerLink(server, graceMs, events);
}
