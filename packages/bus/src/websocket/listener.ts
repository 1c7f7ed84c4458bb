import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { refusalBody, refusalHeaders } from './refusal.ts';

/** Time for a peer to send its whole request head, in milliseconds: half-open handshakes go away by themselves. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** A server for WebSocket upgrades only; anything else is told so (426). */
export function createUpgradeServer(tls: Tls | null): Server {
  const options = {
    headersTimeout: HANDSHAKE_TIMEOUT_MS,
    requestTimeout: HANDSHAKE_TIMEOUT_MS,
    connectionsCheckingInterval: HANDSHAKE_TIMEOUT_MS / 2,
    keepAliveTimeout: 1_000,
  };
  const server = tls === null ? createHttpServer(options) : createHttpsServer({ ...options, ...tls });
  server.on('request', (_request, response) => {
    response.writeHead(426, { ...refusalHeaders(426), Connection: 'close' });
    response.end(refusalBody(426, 'This port speaks WebSocket; connect with a WebSocket client.'));
  });
  return server;
}

export interface Listening {
  readonly host: string;
  readonly port: number;
}

/** Starts to listen; rejects with one sentence that names the address and what to do. */
export function listen(server: Server, host: string, port: number): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(new Error(explain(error, host, port)));
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
      return `${host} is no address of this machine; choose another host.`;
    default:
      return `Listening on ${host}:${port} failed (${error.code ?? error.message}).`;
  }
}
