import type { ClientRequest, IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Json } from './pattern.ts';

/** How long anything may take, in milliseconds. */
const PATIENCE_MS = 5_000;

type Arrival = { readonly frame: Json } | { readonly closed: number };

/** One raw connection: frames are read one by one, in their order, its end last. */
export class Peer {
  readonly subprotocol: string | null;
  private readonly socket: WebSocket;
  private readonly arrivals: Arrival[] = [];
  private wake: (() => void) | null = null;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.subprotocol = socket.protocol === '' ? null : socket.protocol;
  }

  /** Rejects when the handshake is refused. */
  static open(url: URL, subprotocols: string[], headers: Record<string, string>): Promise<Peer> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, subprotocols, { headers, handshakeTimeout: PATIENCE_MS });
      // The welcome may come with the last bytes of the handshake, so listening must not wait for `open`.
      const early: Arrival[] = [];
      let peer: Peer | null = null;
      const arrive = (arrival: Arrival): void => {
        if (peer === null) early.push(arrival);
        else peer.arrive(arrival);
      };
      socket.on('message', (data) => arrive({ frame: JSON.parse(String(data)) as Json }));
      socket.on('close', (code) => arrive({ closed: code }));
      socket.on('error', reject);
      socket.on('open', () => {
        peer = new Peer(socket);
        for (const arrival of early) peer.arrive(arrival);
        resolve(peer);
      });
    });
  }

  send(data: string | Buffer): void {
    this.socket.send(data);
  }

  /** The next frame. Rejects when none comes in time, or the connection ends instead. */
  async next(): Promise<Json> {
    const arrival = await this.take();
    if ('closed' in arrival) throw new Error(`the connection was closed with ${arrival.closed}`);
    return arrival.frame;
  }

  /** The close code, when the end is what comes next. */
  async closed(): Promise<number> {
    const arrival = await this.take();
    if ('frame' in arrival) throw new Error(`a frame came instead of the end: ${JSON.stringify(arrival.frame)}`);
    return arrival.closed;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.readyState === WebSocket.CLOSED) {
        resolve();
        return;
      }
      this.socket.once('close', () => resolve());
      this.socket.close(1000);
    });
  }

  private arrive(arrival: Arrival): void {
    this.arrivals.push(arrival);
    this.wake?.();
  }

  private async take(): Promise<Arrival> {
    if (this.arrivals.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`nothing came within ${PATIENCE_MS} ms`)), PATIENCE_MS);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = null;
    }
    return this.arrivals.shift() as Arrival;
  }
}

/** The HTTP status that refuses the handshake; 101 when it is not refused. */
export function refusedWith(url: URL, subprotocols: string[], headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, subprotocols, { headers, handshakeTimeout: PATIENCE_MS });
    socket.on('unexpected-response', (request: ClientRequest, response: IncomingMessage) => {
      resolve(response.statusCode ?? 0);
      request.destroy();
    });
    socket.on('error', reject);
    socket.on('open', () => {
      resolve(101);
      socket.terminate();
    });
  });
}
