import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Envelope } from '@arqonbus/protocol';

/** What a receiver was sent. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly raw: string;
  readonly body: { rule_id: string; delivery_id: string; attempt: number; envelope: Envelope };
}

/** How a receiver answers: with a status, or by a function of its own, which may leave the request open. */
export type Answer = number | ((response: ServerResponse, received: Received) => void);

/** A webhook endpoint on 127.0.0.1 that keeps what it gets. */
export class Receiver {
  readonly requests: Received[] = [];
  /** Connections that were opened, with or without a request. */
  connections = 0;
  answer: Answer = 204;
  readonly port: number;
  private readonly server: Server;
  private readonly waiting = new Set<() => void>();

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', () => {
      this.connections += 1;
    });
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const raw = Buffer.concat(chunks).toString();
        const received = { path: request.url ?? '', headers: request.headers, raw, body: JSON.parse(raw) };
        this.requests.push(received);
        if (typeof this.answer === 'number') response.writeHead(this.answer).end();
        else this.answer(response, received);
        for (const look of this.waiting) look();
      });
    });
  }

  /** @param port any free one unless given: an endpoint that comes back where it was */
  static async open(port = 0): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return new Receiver(server);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** `payload.n` of every event received, in the order of arrival. */
  get numbers(): unknown[] {
    return this.requests.map(({ body }) => body.envelope.payload.n);
  }

  /** Resolves once `count` requests have come, or `condition` holds after one. */
  until(condition: number | (() => boolean)): Promise<void> {
    const holds = typeof condition === 'number' ? () => this.requests.length >= condition : condition;
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }

  /** Cuts every connection and stops listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

/** Leaves the request open. */
export const hang: Answer = () => {};

/** Answers with each status in turn, then with 204. */
export function statuses(...list: readonly number[]): Answer {
  const left = [...list];
  return (response) => {
    response.writeHead(left.shift() ?? 204).end();
  };
}
