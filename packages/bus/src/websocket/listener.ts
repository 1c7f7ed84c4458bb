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

/** For all listeners: half-open handshakes go away by themselves. */
export const HANDSHAKE_LIMITS = {
  /** Time for a peer to send its whole request head, and for TLS before that, in milliseconds. */
  headersTimeout: 5_000,
  handshakeTimeout: 5_000,
  connectionsCheckingInterval: 500,
  // What has no Host is answered as everything else is, and not by Node with an empty body.
  requireHostHeader: false,
} as const;

export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** Time for a peer to send the body of a request that something else than an upgrade answers, in milliseconds. */
const BODY_TIMEOUT_MS = 30_000;

/**
 * A server for WebSocket upgrades; anything else is told so (426), but for the requests that `elsewhere` names a
 * listener for.
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
  // Without their own listeners Node answers an `Expect` with words of its own, and CONNECT not at all.
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    (elsewhere(request) ?? refuse)(request, response as ServerResponse & { req: IncomingMessage });
  };
  server.on('request', answer).on('checkExpectation', refuse);
  server.on('checkContinue', (request, response) => {
    // Only who takes the body has it sent.
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

/** Somebody else listens at the port; the sentence says what to do. */
export class PortTakenError extends Error {}

/** Starts to listen; rejects with one sentence that names the address and what to do. */
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

/** Stops to listen and cuts what is still open. */
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
