import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Tls } from '@arqonbus/bus';
import { getRequestListener } from '@hono/node-server';
import type { App } from './app.ts';

/** Time for a caller to send its whole request, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
/** How long requests under way may take to end once the server stops. */
const GRACE_MS = 1_000;

/** The HTTP server of an app; it does not listen yet. */
export function createAppServer(app: App, tls: Tls | null): Server {
  const options = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: HEADERS_TIMEOUT_MS / 2,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return tls === null ? createHttpServer(options, listener) : createHttpsServer({ ...options, ...tls }, listener);
}

/** Takes no more requests, lets those under way end, and cuts what then is still open. */
export function closeAppServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    server.close(() => {
      clearTimeout(overdue);
      resolve();
    });
    server.closeIdleConnections();
  });
}
