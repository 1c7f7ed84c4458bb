import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

export interface NamingBus {
  readonly url: string;
  stop(): Promise<void>;
}

/** A bus that does no more than greet, with `http` as the address of its HTTP port and `node` as its name. */
export async function startNamingBus(http: string | undefined, node: string): Promise<NamingBus> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'arqonbus.v1' });
  server.on('connection', (peer) => {
    const named = {
      name: 'ArqonBus',
      version: '9.9.9',
      protocol: '1.0',
      node,
      ...(http === undefined ? {} : { http }),
    };
    const limits = { max_message_bytes: 1_000_000, ping_interval_ms: 20_000 };
    const payload = {
      event: 'welcome',
      client_id: 'arq_client_x',
      role: 'admin',
      tenant: 'default',
      server: named,
      limits,
    };
    const timestamp = new Date().toISOString();
    const envelope = { version: '1.0', id: 'arq_1', from: 'arqonbus', timestamp };
    peer.send(JSON.stringify({ ...envelope, type: 'system', payload }));
    peer.on('message', (data) => {
      const { id, command } = JSON.parse(String(data)) as { id: string; command: string };
      const answer = { type: 'command_response', request_id: id, command, status: 'success', payload: { timestamp } };
      peer.send(JSON.stringify({ ...envelope, ...answer }));
    });
  });
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      for (const peer of server.clients) peer.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}
