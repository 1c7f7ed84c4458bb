import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JsonObject } from '@arqonbus/protocol';

/** A question as it came. */
export interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly raw: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into questions of every shape
  readonly body: any;
}

/** What a backend says: an answer, or whatever a function does with the response; `hang` leaves it open. */
export type Says =
  | JsonObject
  | ((asked: Asked, response: ServerResponse) => JsonObject | Promise<JsonObject> | undefined);

export const hang: Says = () => undefined;

/** Answers with a status and a text of its own. */
export function raw(status: number, text: string): Says {
  return (_asked, response) => {
    response.writeHead(status, { Location: '/elsewhere' }).end(text);
    return undefined;
  };
}

/** A backend on 127.0.0.1 that is asked by hooks. */
export class Backend {
  readonly asked: Asked[] = [];
  /** Questions that are open now, and the most that ever were. */
  open = 0;
  mostOpen = 0;
  says: Says = { allow: true };
  readonly port: number;
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.answer(request.headers, Buffer.concat(chunks).toString(), response));
    });
  }

  static async open(): Promise<Backend> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Backend(server);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  private async answer(headers: IncomingHttpHeaders, text: string, response: ServerResponse): Promise<void> {
    const asked = { headers, raw: text, body: JSON.parse(text) };
    this.asked.push(asked);
    this.open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    response.on('close', () => {
      this.open -= 1;
    });
    const { says } = this;
    const answer = typeof says === 'function' ? await says(asked, response) : says;
    if (answer === undefined) return;
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  }

  /** Cuts every connection and stops listening. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}
