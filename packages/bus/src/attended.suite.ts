import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import { Peer } from '../../../test/fixtures/peer.ts';
import type { CreateBusOptions } from './create-options.ts';
import { type Bus, createBus } from './index.ts';
import type { GrantLists } from './principal.ts';
import type { Rule } from './rules/rule.ts';

/** A bus behind a port, at which a client says itself who it is. */
export interface Attended {
  readonly bus: Bus;
  connect(sub?: string, role?: string, grants?: GrantLists): Promise<Peer>;
}

/** Registers the hook that ends what {@link Attended} opened: to be called at the top of a test file. */
export function attended(): (rules: readonly Rule[], options?: CreateBusOptions) => Promise<Attended> {
  const opened: { bus: Bus; server: Server; peers: Peer[] }[] = [];
  afterEach(async () => {
    for (const { bus, server, peers } of opened.splice(0)) {
      await Promise.all(peers.map((peer) => peer.close()));
      await bus.close({ withinMs: 500 });
      server.close();
      server.closeAllConnections();
    }
  });
  return async (rules, options = {}) => {
    const bus = await createBus({
      rules,
      authenticate: (request) => {
        const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
        const grants = searchParams.get('grants');
        return {
          subject: searchParams.get('sub'),
          role: searchParams.get('role') as 'guest' | 'user' | 'admin',
          ...(grants === null ? {} : { grants: JSON.parse(grants) as GrantLists }),
        };
      },
      ...options,
    });
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    bus.attach(server);
    const peers: Peer[] = [];
    opened.push({ bus, server, peers });
    const { port } = server.address() as AddressInfo;
    return {
      bus,
      connect: async (sub = 'ada', role = 'admin', grants) => {
        const query = { sub, role, ...(grants === undefined ? {} : { grants: JSON.stringify(grants) }) };
        const peer = await Peer.connect(`ws://127.0.0.1:${port}`, query);
        peers.push(peer);
        return peer;
      },
    };
  };
}
