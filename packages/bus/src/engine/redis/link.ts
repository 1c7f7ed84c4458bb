import { ServerLink, type ServerLinkEvents } from '../server-link.ts';
import { openSession, type Target } from './connect.ts';
import { judge, sentence } from './faults.ts';
import type { Session } from './session.ts';
import type { RedisAddress } from './url.ts';

export type Link = ServerLink<Session>;

export interface LinkEvents extends ServerLinkEvents<Session> {
  message(topic: string, text: string): void;
}

export interface LinkOptions extends Target {
  readonly backend: 'redis' | 'valkey';
  /** How long requests wait for a lost server before they fail, in milliseconds. */
  readonly graceMs: number;
}

export function createLink(options: LinkOptions, events: LinkEvents): Link {
  const { backend, graceMs } = options;
  const { shown } = options.address;
  /** Where to connect next; in a cluster, any of its members. */
  let addresses: readonly RedisAddress[] = [options.address];
  let tried = shown;
  const server = {
    shown,
    connect: async (lost: (reason: string) => void): Promise<Session> => {
      const [address = options.address, ...others] = addresses;
      addresses = [...others, address];
      tried = address.shown;
      const message = (topic: string, text: string): void => events.message(topic, text);
      const session = await openSession({ ...options, address }, { message, lost });
      addresses = membersOf(session, options.address);
      return session;
    },
    judge,
    explain: (error: unknown): string => {
      const { shown: place = tried } = error as { readonly shown?: string };
      return sentence(error, { backend, shown: place });
    },
  };
  return new ServerLink(server, graceMs, events);
}

/** The members of a cluster, so that losing one does not mean losing all. */
function membersOf({ members }: Session, address: RedisAddress): RedisAddress[] {
  const others = members.filter(({ host, port }) => host !== address.host || port !== address.port);
  return [
    address,
    ...others.map(({ host, port }) => {
      const shown = address.shown.replace(/\/\/[^/]*/, `//${host}:${port}`);
      return { ...address, host, port, shown };
    }),
  ];
}
