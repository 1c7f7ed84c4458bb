import { ArqonBusClient, type ClientOptions } from '@arqonbus/client';
import { TcpProxy } from '../../fixtures/tcp-proxy.ts';

/** An SDK client as used by applications, with its own network link that can be cut. */
export class SdkLine {
  readonly client: ArqonBusClient;
  /** Number of connections so far. */
  connections = 0;
  private readonly proxies: readonly TcpProxy[];

  private constructor(proxies: readonly TcpProxy[], options: Omit<ClientOptions, 'url'>) {
    this.proxies = proxies;
    this.client = new ArqonBusClient({
      ...options,
      url: proxies.map(({ port }) => `ws://127.0.0.1:${port}`),
      reconnect: { baseMs: 50, maxMs: 1_000 },
    });
    this.client.on('welcome', () => {
      this.connections += 1;
    });
  }

  /** Connects to one of several servers, and stays connected until it is closed. */
  static async open(urls: readonly string[], options: Omit<ClientOptions, 'url'>): Promise<SdkLine> {
    const proxies = await Promise.all(urls.map((url) => TcpProxy.start(Number(new URL(url).port))));
    const line = new SdkLine(proxies, options);
    await line.client.connect({ retry: true, timeoutMs: 30_000 });
    return line;
  }

  cut(): void {
    for (const proxy of this.proxies) proxy.cut();
  }

  async close(): Promise<void> {
    await this.client.close();
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
  }
}
