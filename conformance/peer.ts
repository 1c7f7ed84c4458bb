import type { ClientRequest, IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Json } from './pattern.ts';

/** How long anything may take, in milliseconds. */
const PATIENCE_MS = 5_000;

type Arrival = { readonly frame: Json } | { readonly closed: number };

/** What a peer sends by, and ends. */
export interface Line {
  send(data: string | Buffer): void;
  /** Resolves when it has ended. */
  close(): Promise<void>;
}

/** How a runner connects: rejects when the handshake is refused, with the HTTP status as `status` of the error. */
export type Open = (url: URL, subprotocols: string[], headers: Record<string, string>) => Promise<Peer>;

/** The handshake was refused. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the handshake was refused with ${status}`);
    this.status = status;
  }
}

/** One raw connection: frames are read one by one, in their order, its end last. */
export class Peer {
  readonly subprotocol: string | null;
  private readonly line: Line;
  private readonly arrivals: Arrival[] = [];
  private wake: (() => void) | null = null;

  constructor(line: Line, subprotocol: string | null) {
    this.line = line;
    this.subprotocol = subprotocol;
  }

  /** Rejects when the handshake is refused. */
  static open: Open = (url, subprotocols, headers) => {
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
      socket.on('unexpected-response', (request: ClientRequest, { statusCode = 0 }: IncomingMessage) => {
        reject(new Refused(statusCode));
        request.destroy();
      });
      socket.on('error', reject);
      socket.on('open', () => {
        peer = new Peer(lineOf(socket), socket.protocol === '' ? null : socket.protocol);
        for (const arrival of early) peer.arrive(arrival);
        resolve(peer);
      });
    });
  };

  send(data: string | Buffer): void {
    this.line.send(data);
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
    return this.line.close();
  }

  arrive(arrival: Arrival): void {
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

function lineOf(socket: WebSocket): Line {
  return {
    send: (data) => socket.send(data),
    close: () =>
      new Promise((resolve) => {
        if (socket.readyState === WebSocket.CLOSED) {
          resolve();
          return;
        }
        socket.once('close', () => resolve());
        socket.close(1000);
      }),
  };
}
