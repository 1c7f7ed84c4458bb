import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { answerUnreadable, NO_WEBSOCKET, refusalBody, refusalHeaders, refuseUpgrade } from './refusal.ts';

/** Limits of all listeners, so that half-open handshakes time out. */
export const HANDSHAKE_LIMITS = {
  /** Time for a peer to send its request head, and for the TLS handshake before it, in milliseconds. */
  headersTimeout: 5_000,
  handshakeTimeout: 5_000,
  connectionsCheckingInterval: 500,
  // Requests without Host get a normal refusal, instead of Node's empty one.
  requireHostHeader: false,
} as const;

export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** Time for a peer to send the body of a request other than an upgrade, in milliseconds. */
const BODY_TIMEOUT_MS = 30_000;

/**
 * A server for WebSocket upgrades; other requests are refused with 426, except those for which `elsewhere` returns a
 * listener.
 */
export function createUpgradeServer(
  tls: Tls | null,
  elsewhere: (request: IncomingMessage) => RequestListener | undefined = () => undefined,
): Server {
  const options = { ...HANDSHAKE_LIMITS, requestTimeout: BODY_TIMEOUT_MS };
  const server = tls === null ? createHttpServer(options) : createHttpsServer({ ...options, ...tls });
  const refuse = (_request: IncomingMessage, response: ServerResponse): void => {
    const body = refusalBody(426, NO_WEBSOCKET);
    response.writeHead(426, { ...refusalHeaders(426), Connection: 'close', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  };
  // Without these listeners Node answers `Expect` with its own text, and CONNECT not at all.
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    (elsewhere(request) ?? refuse)(request, response as ServerResponse & { req: IncomingMessage });
  };
  server.on('request', answer).on('checkExpectation', refuse);
  server.on('checkContinue', (request, response) => {
    // Request the body only if a listener reads it.
    if (elsewhere(request) !== undefined) response.writeContinue();
    answer(request, response);
  });
  server.on('connect', (_request, socket) => refuseUpgrade(socket, 405, NO_WEBSOCKET));
  answerUnreadable(server, (socket, status, _code, sentence) =>
    refuseUpgrade(socket, status, status === 426 ? NO_WEBSOCKET : sentence),
  );
  return server;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
}

/** The port is in use; the message says what to do. */
export class PortTakenError extends Error {}

/** Starts listening; rejects with a message that names the address and what to do. */
export function listen(server: Server, host: string, port: number): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const isTaken = error.code === 'EADDRINUSE';
      reject(new (isTaken ? PortTakenError : Error)(explain(error, host, port)));
    };
    server.once('error', failed);
    server.listen({ host, port, backlog: 4_096 }, () => {
      server.off('error', failed);
      resolve({ host, port: (server.address() as AddressInfo).port });
    });
  });
}

/** Stops listening and closes all connections. */
export function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is in use; stop what listens there, or choose another port.`;
    case 'EACCES':
      return `Port ${port} on ${host} needs more rights; choose a port above 1023.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine; choose another host.`;
    default:
      return `Listening on ${host}:${port} failed (${error.code ?? error.message}).`;
  }
}
