import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Interval of the readiness probes, and their timeout, in milliseconds. */
const PROBE_MS = 500;
const PROBE_TIMEOUT_MS = 2_000;

export interface Backend {
  readonly name: string;
  /** Its WebSocket URL: `ws://HOST:PORT`. */
  readonly url: string;
  /** Its HTTP URL, for `/ready`. */
  readonly http: string;
}

/**
 * Works like a Kubernetes Service: each new connection goes to a random node that was ready at its last probe, and
 * stays there. A node that has just begun to stop may still get some.
 */
export class Balancer {
  private readonly backends: readonly Backend[];
  private readonly server: Server;
  private readonly lines = new Set<Socket>();
  private ready: readonly Backend[] = [];
  private probing: NodeJS.Timeout | undefined;

  private constructor(backends: readonly Backend[]) {
    this.backends = backends;
    this.server = createServer((client) => this.take(client));
  }

  /** Resolves when it listens and has probed each node once. */
  static async start(backends: readonly Backend[]): Promise<Balancer> {
    const balancer = new Balancer(backends);
    balancer.server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
    await once(balancer.server, 'listening');
    await balancer.probe();
    balancer.probing = setInterval(() => void balancer.probe(), PROBE_MS);
    return balancer;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    clearInterval(this.probing);
    this.server.close();
    for (const line of this.lines) line.destroy();
  }

  private async probe(): Promise<void> {
    const answers = await Promise.all(this.backends.map(({ http }) => isReady(http)));
    this.ready = this.backends.filter((_, index) => answers[index]);
  }

  private take(client: Socket): void {
    const chosen = this.ready[Math.floor(Math.random() * this.ready.length)];
    if (chosen === undefined) {
      client.destroy();
      return;
    }
    const node = connect(Number(new URL(chosen.url).port), '127.0.0.1');
    for (const [line, other] of [
      [client, node],
      [node, client],
    ] as const) {
      this.lines.add(line);
      line.setNoDelay(true);
      line.on('error', () => other.destroy());
      line.once('close', () => {
        this.lines.delete(line);
        other.destroySoon();
      });
      line.pipe(other);
    }
  }
}

/** Whether a node accepts clients. */
export async function isReady(http: string): Promise<boolean> {
  try {
    const { ok } = await fetch(`${http}/ready`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return ok;
  } catch {
    return false;
  }
}
