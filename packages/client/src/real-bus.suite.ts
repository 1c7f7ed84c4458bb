import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { TcpProxy } from '../../../test/fixtures/tcp-proxy.ts';
import { ArqonBusClient } from './client.ts';
import type { ClientOptions } from './options.ts';

/** A real server, a stretch of network to it that can be broken, and the clients of one test. */
export class RealBus {
  readonly server: TestServer;
  readonly proxy: TcpProxy;
  readonly #clients: ArqonBusClient[] = [];
  #rooms = 0;

  private constructor(server: TestServer, proxy: TcpProxy) {
    this.server = server;
    this.proxy = proxy;
  }

  static async start(): Promise<RealBus> {
    const server = await startTestServer();
    return new RealBus(server, await TcpProxy.start(Number(new URL(server.urls.bus).port)));
  }

  async connect(options: Partial<ClientOptions> = {}): Promise<ArqonBusClient> {
    const url = this.server.urls.bus;
    const client = new ArqonBusClient({ url, reconnect: { baseMs: 20, maxMs: 50 }, ...options });
    this.#clients.push(client);
    await client.connect();
    return client;
  }

  /** A client whose line {@link RealBus.proxy} can break. */
  connectBreakably(): Promise<ArqonBusClient> {
    return this.connect({ url: `ws://127.0.0.1:${this.proxy.port}` });
  }

  /** A room that no other test uses. */
  freshRoom(): string {
    this.#rooms += 1;
    return `sdk-${this.#rooms}`;
  }

  async closeClients(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }

  async stop(): Promise<void> {
    await this.closeClients();
    await this.proxy.stop();
    await this.server.stop();
  }
}

/** Resolves when the client is open the next time. */
export function opened(client: ArqonBusClient): Promise<void> {
  return new Promise((resolve) => {
    const stop = client.on('state', ({ state }) => {
      if (state !== 'open') return;
      stop();
      resolve();
    });
  });
}
