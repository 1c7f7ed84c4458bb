import type { Envelope, JsonObject } from '@arqonbus/protocol';
import { WebSocket } from 'ws';

// biome-ignore lint/suspicious/noExplicitAny: payloads of any shape
export type Frame = Envelope<Record<string, any>>;

const OPENING_MS = 5_000;

/** One connection of a client, from its welcome to its end, whichever side closes it. */
export class Line {
  readonly ended: Promise<void>;
  /** The server, as `HOST:PORT`. */
  readonly host: string;
  private readonly socket: WebSocket;

  private constructor(socket: WebSocket, url: string) {
    this.socket = socket;
    this.host = new URL(url).host;
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** Connects; `take` is called with every frame after the welcome. Rejects when there is no server, or no response. */
  static async open(url: string, query: Readonly<Record<string, string>>, take: (frame: Frame) => void): Promise<Line> {
    const socket = new WebSocket(`${url}/?${new URLSearchParams(query)}`, { handshakeTimeout: OPENING_MS });
    const line = new Line(socket, url);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => socket.terminate(), OPENING_MS);
      socket.on('error', reject);
      socket.once('close', () => reject(new Error('the connection ended before its welcome')));
      socket.once('message', () => {
        clearTimeout(timer);
        socket.on('message', (data) => take(JSON.parse(String(data)) as Frame));
        resolve();
      });
    });
    return line;
  }

  send(envelope: JsonObject): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(envelope));
  }

  /** Cuts the connection without notifying the other side. */
  cut(): void {
    this.socket.terminate();
  }
}
